/* main.c - finds the command, reads its options, runs it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const option global_options[] = {{OPTION_ROOT, 0, "root", "DIR",
                                         "folder of the store (default: $IMGSTORE_ROOT, else\n"
                                         "$XDG_DATA_HOME/imgstore; /var/lib/imgstore for root)"},
                                        {OPTION_WORKERS, 0, "workers", "N",
                                         "threads for hashing and unpacking, 0 to 64\n"
                                         "(default: one per processor, at most 4)"},
                                        {OPTION_DEBUG, 0, "debug", NULL, "log what the library does on standard error"},
                                        {OPTION_HELP, 'h', "help", NULL, "show this help"},
                                        {OPTION_VERSION, 0, "version", NULL, "show the version"},
                                        ROW_END};
const option_group group_global = {"Global options", global_options};

/* The commands, in the groups of the help. */
static const struct section {
  const char *title;
  const command *commands[16]; /* ends with NULL */
} sections[] = {
    {"Images",
     {&command_pull, &command_push, &command_ls, &command_history, &command_inspect, &command_tag, &command_rm,
      &command_copy, &command_sync}},
    {"Files and folders", {&command_unpack, &command_save, &command_load, &command_import, &command_export}},
    {"Instances",
     {&command_create, &command_mount, &command_umount, &command_diff, &command_commit, &command_delete,
      &command_bundle, &command_run}},
    {"Building", {&command_build, &command_index, &command_artifact}},
    {"Registries",
     {&command_login, &command_logout, &command_tags, &command_catalog, &command_access, &command_referrers,
      &command_attach}},
    {"Store", {&command_du, &command_prune, &command_verify}},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* Descriptors 0 to 2 are open from here on: a file of the store must never become standard output. They are opened
   the wrong way round, so that using them still fails. */
static bool open_standard_files(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
      return false;
  return true;
}

static bool is_called(const command *cmd, const char *name) {
  size_t length = strlen(name);
  if (strcmp(cmd->name, name) == 0)
    return true;
  for (const char *s = cmd->alias; s && *s && length; s += strspn(s, " ")) {
    size_t word = strcspn(s, " ");
    if (word == length && strncmp(s, name, length) == 0)
      return true;
    s += word;
  }
  return false;
}

static const command *find_command(const char *name) {
  for (size_t i = 0; i < SECTIONS; i++)
    for (const command *const *cmd = sections[i].commands; *cmd; cmd++)
      if (is_called(*cmd, name))
        return *cmd;
  return NULL;
}

static int unknown_command(const char *name) {
  put_line(stderr, "imgstore: unknown command %s", name);
  fputs("Try 'imgstore --help'.\n", stderr);
  return CLI_USAGE;
}

/* --- help ----------------------------------------------------------------------------------------------------------
 */

static void print_overview(FILE *file) {
  const option_group *const groups[] = {&group_global, NULL};
  fputs("Usage: imgstore [--root DIR] COMMAND [OPTIONS] [ARGUMENTS]\n\n"
        "Pull, push, keep, build, unpack and mount container images, without a daemon.\n",
        file);
  for (size_t i = 0; i < SECTIONS; i++) {
    fprintf(file, "\n%s:\n", sections[i].title);
    for (const command *const *cmd = sections[i].commands; *cmd; cmd++)
      fprintf(file, "  %-11s%s\n", (*cmd)->name, (*cmd)->summary);
  }
  fputs("\n'imgstore help COMMAND' shows the help of a command.\n", file);
  options_help(groups, file);
  fputs("\nExamples:\n"
        "  imgstore pull alpine\n"
        "  imgstore ls\n"
        "  imgstore unpack alpine rootfs\n\n"
        "'imgstore COMMAND --help' tells more about a command.\n",
        file);
}

static void print_help(const command *cmd) {
  printf("Usage: imgstore %s%s%s\n\n%s.\n", cmd->name, *cmd->usage ? " " : "", cmd->usage, cmd->summary);
  if (cmd->details)
    printf("\n%s\n", cmd->details);
  options_help(cmd->groups, stdout);
  if (cmd->alias)
    printf("\nAlso called: %s\n", cmd->alias);
  printf("\nExamples:\n%s", cmd->examples);
}

static int run_help(const arguments *a) {
  const command *cmd = a->count ? find_command(a->words[0]) : NULL;
  if (a->count && !cmd && strcmp(a->words[0], "help") != 0)
    return unknown_command(a->words[0]);
  if (cmd)
    print_help(cmd);
  else
    print_overview(stdout);
  return CLI_OK;
}

static int print_version(void) {
  printf("imgstore %s\n", imgstore_version_string());
  printf("features: %s\n", imgstore_features());
  return CLI_OK;
}

/* --- commands ------------------------------------------------------------------------------------------------------
 */

static int run_command(cli *c, int argc, char **argv, int from) {
  char who[64];
  const command *cmd = c->command;
  snprintf(who, sizeof who, "imgstore %s", cmd->name);
  c->args.option_words = cmd->option_words;
  if (arguments_read(&c->args, who, cmd->groups, argc, argv, from, false) < 0)
    return CLI_USAGE;
  if (option_given(&c->args, OPTION_HELP)) {
    print_help(cmd);
    return CLI_OK;
  }
  if (option_given(&c->args, OPTION_VERSION))
    return print_version();
  if (c->args.count < cmd->min_words)
    return cli_usage(c, "an argument is missing: imgstore %s %s", cmd->name, cmd->usage);
  if (c->args.count > cmd->max_words)
    return cli_usage(c, "one argument too many: %s", c->args.words[cmd->max_words]);
  int status = cmd->run(c);
  cli_close(c);
  return status;
}

static int run_help_command(cli *c, int argc, char **argv, int from) {
  const option_group *const groups[] = {&group_global, NULL};
  if (arguments_read(&c->args, "imgstore", groups, argc, argv, from, false) < 0)
    return CLI_USAGE;
  return run_help(&c->args);
}

static int run(cli *c, int argc, char **argv) {
  const option_group *const groups[] = {&group_global, NULL};
  int at = arguments_read(&c->args, "imgstore", groups, argc, argv, 1, true);
  if (at < 0)
    return CLI_USAGE;
  if (option_given(&c->args, OPTION_VERSION))
    return print_version();
  if (at < argc && strcmp(argv[at], "help") == 0)
    return run_help_command(c, argc, argv, at + 1);
  if (at == argc && option_given(&c->args, OPTION_HELP))
    return run_help(&c->args);
  if (at == argc) {
    print_overview(stderr);
    return CLI_USAGE;
  }
  c->command = find_command(argv[at]);
  return c->command ? run_command(c, argc, argv, at + 1) : unknown_command(argv[at]);
}

int main(int argc, char **argv) {
  cli c = {0};
  /* A reader that went away is seen as a write error, here and in the connections of the library. */
  signal(SIGPIPE, SIG_IGN);
  if (!open_standard_files() || !arguments_begin(&c.args, argc))
    return CLI_FAILED;
  int status = run(&c, argc, argv);
  arguments_free(&c.args);
  return cli_finish_output(status);
}
