/* messages.c - standard error: messages, errors, hints; and the last word on standard output. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "json_out.h"

bool cli_is_terminal(void) {
  const char *term = getenv("TERM");
  return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

bool cli_has_colour(void) {
  const char *no_colour = getenv("NO_COLOR");
  return cli_is_terminal() && !(no_colour && *no_colour);
}

static void say(const cli *c, const char *code, const char *message) {
  text t = {0};
  if (c->json_messages) {
    json_begin(&t);
    json_string(&t, "event", code ? "error" : "message");
    json_string(&t, "code", code);
    json_string(&t, "text", message);
    json_end(&t, stderr);
  } else {
    bool colour = code && cli_has_colour();
    text_add(&t, colour ? "\033[1;31mimgstore:\033[0m " : "imgstore: ");
    text_add_safe(&t, message);
    text_add(&t, "\n");
    fputs(t.failed ? "imgstore: out of memory\n" : text_get(&t), stderr);
  }
  text_free(&t);
}

void cli_message(const cli *c, const char *format, ...) {
  text message = {0};
  va_list list;
  va_start(list, format);
  text_addv(&message, format, list);
  va_end(list);
  say(c, NULL, message.failed ? "out of memory" : text_get(&message));
  text_free(&message);
}

int cli_usage(const cli *c, const char *format, ...) {
  text message = {0};
  va_list list;
  va_start(list, format);
  text_addv(&message, format, list);
  va_end(list);
  put_line(stderr, "imgstore %s: %s", c->command->name, message.failed ? "out of memory" : text_get(&message));
  put_line(stderr, "Try 'imgstore %s --help'.", c->command->name);
  text_free(&message);
  return CLI_USAGE;
}

/* What a user can do about an error, or NULL. */
static const char *hint_of(const cli *c, int32_t code) {
  switch (code) {
  case IMGSTORE_EUNAUTHORIZED:
    return c->command == &command_login ? NULL : "imgstore login HOST keeps them";
  case IMGSTORE_ETLS:
    return "--plain-http for a registry without TLS, --ca FILE for one with its own authority";
  case IMGSTORE_ENOSPACE:
    return "imgstore rm and imgstore prune make room";
  case IMGSTORE_ECORRUPT:
    return "imgstore verify --repair tells which images to pull again";
  default:
    return NULL;
  }
}

int cli_failed(const cli *c, int32_t code, imgstore_error **error) {
  const char *message = *error ? imgstore_error_message(*error) : imgstore_error_name(code);
  const char *hint = c->json_messages ? NULL : hint_of(c, code);
  text t = {0};
  text_add(&t, message);
  if (hint)
    text_addf(&t, " (%s)", hint);
  say(c, imgstore_error_name(code), t.failed ? message : text_get(&t));
  text_free(&t);
  imgstore_error_free(*error);
  *error = NULL;
  return CLI_FAILED;
}

int cli_out_of_memory(const cli *c) {
  say(c, imgstore_error_name(IMGSTORE_ENOMEM), "out of memory");
  return CLI_FAILED;
}

int cli_finish_output(int status) {
  struct pollfd output = {.fd = STDOUT_FILENO};
  bool reader_left = poll(&output, 1, 0) > 0 && (output.revents & POLLERR);
  bool failed = ferror(stdout) != 0;
  errno = 0;
  if (fclose(stdout) != 0)
    failed = true;
  /* An output that was closed from the start only matters when there was something to print. */
  if (!failed)
    return status;
  if (!reader_left)
    fprintf(stderr, "imgstore: cannot write to standard output%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
  return status == CLI_OK ? CLI_FAILED : status;
}
