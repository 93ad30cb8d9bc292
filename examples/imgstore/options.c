/* options.c - reads the command line. Knows tables of options, not what they do. */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

bool arguments_begin(arguments *a, int argc) {
  *a = (arguments){.words = calloc((size_t)argc + 1, sizeof *a->words)};
  return a->words != NULL;
}

void arguments_free(arguments *a) {
  free(a->options);
  free(a->words);
  *a = (arguments){0};
}

bool option_given(const arguments *a, int id) {
  return option_count(a, id) > 0;
}

const char *option_value(const arguments *a, int id) {
  const char *value = NULL;
  for (size_t i = 0; i < a->option_count; i++)
    if (a->options[i].id == id)
      value = a->options[i].value;
  return value;
}

size_t option_count(const arguments *a, int id) {
  size_t count = 0;
  for (size_t i = 0; i < a->option_count; i++)
    count += a->options[i].id == id;
  return count;
}

const char *option_name(const option_group *const *groups, int id) {
  for (; *groups; groups++)
    for (const option *o = (*groups)->options; o->name; o++)
      if (o->id == id)
        return o->name;
  return "";
}

static const option *find(const option_group *const *groups, const char *name, size_t length, char letter) {
  for (; *groups; groups++)
    for (const option *o = (*groups)->options; o->name; o++)
      if (letter ? o->letter == letter : strlen(o->name) == length && strncmp(o->name, name, length) == 0)
        return o;
  return NULL;
}

static int complain(const char *who, const char *what, const char *argument) {
  put_line(stderr, "%s: %s %s", who, what, argument);
  put_line(stderr, "Try '%s --help'.", who);
  return -1;
}

static bool add(arguments *a, const option *o, const char *value) {
  struct given *grown = reallocarray(a->options, a->option_count + 1, sizeof *grown);
  if (!grown)
    return false;
  a->options = grown;
  a->options[a->option_count++] = (struct given){o->id, value};
  return true;
}

/* Reads "--name", "--name=value" or "--name value". Returns how many arguments it used, or -1. */
static int read_long(arguments *a, const char *who, const option_group *const *groups, const char *argument,
                     const char *next) {
  const char *equals = strchr(argument, '=');
  size_t length = equals ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
  const option *o = find(groups, argument + 2, length, 0);
  if (!o)
    return complain(who, "unknown option", argument);
  if (!o->value && equals)
    return complain(who, "no value is taken by", argument);
  if (o->value && !equals && !next)
    return complain(who, "a value is missing after", argument);
  if (!add(a, o, equals ? equals + 1 : o->value ? next : ""))
    return complain(who, "out of memory at", argument);
  return o->value && !equals ? 2 : 1;
}

/* Reads "-a", "-abc", "-n value" or "-nvalue". Returns how many arguments it used, or -1. */
static int read_short(arguments *a, const char *who, const option_group *const *groups, const char *argument,
                      const char *next) {
  for (const char *letter = argument + 1; *letter; letter++) {
    const option *o = find(groups, "", 0, *letter);
    if (!o)
      return complain(who, "unknown option", argument);
    const char *joined = letter[1] ? letter + 1 : NULL;
    if (o->value && !joined && !next)
      return complain(who, "a value is missing after", argument);
    if (!add(a, o, !o->value ? "" : joined ? joined : next))
      return complain(who, "out of memory at", argument);
    if (o->value)
      return joined ? 1 : 2;
  }
  return 1;
}

int arguments_read(arguments *a, const char *who, const option_group *const *groups, int argc, char **argv, int from,
                   bool stop_at_word) {
  bool options_ended = false;
  int i = from;
  while (i < argc) {
    const char *argument = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
    int used = 1;
    if (options_ended || argument[0] != '-' || argument[1] == '\0') {
      if (stop_at_word)
        return i;
      a->words[a->count++] = argument;
      options_ended = options_ended || a->count == a->option_words;
    } else if (strcmp(argument, "--") == 0) {
      options_ended = true;
    } else if (argument[1] == '-') {
      used = read_long(a, who, groups, argument, next);
    } else {
      used = read_short(a, who, groups, argument, next);
    }
    if (used < 0)
      return -1;
    i += used;
  }
  return i;
}

static void usage_of(const option *o, text *t) {
  text_clear(t);
  if (o->letter)
    text_addf(t, "-%c, ", o->letter);
  else
    text_add(t, "    ");
  text_addf(t, "--%s", o->name);
  if (o->value)
    text_addf(t, " %s", o->value);
}

void options_help(const option_group *const *groups, FILE *file) {
  enum { WIDEST = 30 };
  text t = {0};
  for (const option_group *const *g = groups; *g; g++) {
    fprintf(file, "\n%s:\n", (*g)->title);
    for (const option *o = (*g)->options; o->name; o++) {
      if (find(groups, o->name, strlen(o->name), 0) != o)
        continue; /* an option of an earlier group has the name */
      usage_of(o, &t);
      fprintf(file, "  %-*s", WIDEST, text_get(&t));
      if (t.size >= WIDEST)
        fprintf(file, "\n  %*s", WIDEST, "");
      for (const char *s = o->help; *s; s++) {
        fputc(*s, file);
        if (*s == '\n')
          fprintf(file, "  %*s", WIDEST, "");
      }
      fputc('\n', file);
    }
  }
  text_free(&t);
}
