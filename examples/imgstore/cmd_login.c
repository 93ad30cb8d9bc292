/* cmd_login.c - login: checks credentials at a registry and keeps them where other tools find them. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "terminal.h"

static const option login_options[] = {
    {OPTION_USERNAME, 'u', "username", "USER", "user name (default: asked for)"},
    {OPTION_PASSWORD_STDIN, 0, "password-stdin", NULL, "take the password from standard input"},
    {OPTION_PASSWORD, 'p', "password", "PASSWORD", "the password; others can see it in the list of processes"},
    ROW_END};
static const option_group login_group = {"Options", login_options};

enum { LONGEST_USER = 1024, LONGEST_PASSWORD = 16384 };

typedef struct account {
  char user[LONGEST_USER];
  char password[LONGEST_PASSWORD];
} account;

static bool copy(char *to, size_t size, const char *from) {
  size_t length = strlen(from);
  if (length == 0 || length >= size)
    return false;
  memcpy(to, from, length + 1);
  return true;
}

/* What terminal_ask returned, as an exit status. */
static int answered(cli *c, int result, const char *answer, const char *what) {
  if (result > 0)
    return CLI_INTERRUPTED + result;
  if (result < 0) {
    cli_message(c, "there is no terminal to ask for the %s: use -u USER and --password-stdin", what);
    return CLI_FAILED;
  }
  if (*answer)
    return CLI_OK;
  cli_message(c, "the %s is empty", what);
  return CLI_FAILED;
}

static int get_user(cli *c, account *a) {
  const char *user = option_value(&c->args, OPTION_USERNAME);
  if (user)
    return copy(a->user, sizeof a->user, user) ? CLI_OK : cli_usage(c, "the user name is empty or too long");
  if (option_given(&c->args, OPTION_PASSWORD_STDIN))
    return cli_usage(c, "--password-stdin needs --username");
  return answered(c, terminal_ask("Username: ", false, a->user, sizeof a->user), a->user, "user name");
}

static int get_password(cli *c, account *a) {
  const char *password = option_value(&c->args, OPTION_PASSWORD);
  if (option_given(&c->args, OPTION_PASSWORD_STDIN)) {
    if (password)
      return cli_usage(c, "--password and --password-stdin exclude each other");
    if (terminal_read_secret(a->password, sizeof a->password))
      return CLI_OK;
    cli_message(c, "no password on standard input");
    return CLI_FAILED;
  }
  if (password)
    return copy(a->password, sizeof a->password, password) ? CLI_OK : cli_usage(c, "the password is empty or too long");
  return answered(c, terminal_ask("Password: ", true, a->password, sizeof a->password), a->password, "password");
}

static int check_and_store(cli *c, const char *host, const account *a, imgstore_registry_options *options) {
  imgstore_registry *registry = NULL;
  imgstore_error *error = NULL;
  options->username = a->user;
  options->password = a->password;
  int status = cli_open_registry(c, host, options, &registry);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_check(registry, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_credentials_store(c->context, options->docker_config, host, a->user, a->password, NULL, &error);
  imgstore_registry_free(registry);
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  puts("Login Succeeded");
  return CLI_OK;
}

static int run(cli *c) {
  imgstore_registry_options options;
  account a = {{0}, {0}};
  text host = {0};
  if (!cli_registry_options(c, &options))
    return CLI_USAGE;
  int status = cli_open_context(c);
  if (status == CLI_OK && !cli_login_host(c, &host))
    status = cli_out_of_memory(c);
  if (status == CLI_OK)
    status = get_user(c, &a);
  if (status == CLI_OK)
    status = get_password(c, &a);
  if (status == CLI_OK)
    status = check_and_store(c, text_get(&host), &a, &options);
  explicit_bzero(&a, sizeof a);
  text_free(&host);
  return status;
}

const command command_login = {
    .name = "login",
    .usage = "[OPTIONS] [HOST]",
    .summary = "Check and keep the credentials for a registry (default: docker.io)",
    .details = "The credentials are kept by the credential helper that Docker's config.json names, else in that file.",
    .examples = "  imgstore login\n"
                "  echo \"$TOKEN\" | imgstore login -u me --password-stdin registry.example.org\n",
    .groups = (const option_group *const[]){&login_group, &group_registry, &group_global, NULL},
    .max_words = 1,
    .run = run,
};
