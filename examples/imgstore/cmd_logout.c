/* cmd_logout.c - logout: forgets the credentials for a registry. */
#include <stdio.h>

#include "cli.h"

static const option logout_options[] = {
    {OPTION_CONFIG, 0, "config", "DIR", "folder of Docker's config.json (default: $DOCKER_CONFIG, else ~/.docker)"},
    ROW_END};
static const option_group logout_group = {"Options", logout_options};

static int run(cli *c) {
  imgstore_error *error = NULL;
  text host = {0};
  int status = cli_open_context(c);
  if (status != CLI_OK)
    return status;
  if (!cli_login_host(c, &host))
    return cli_out_of_memory(c);
  int32_t code = imgstore_credentials_erase(c->context, option_value(&c->args, OPTION_CONFIG), text_get(&host), &error);
  if (code == IMGSTORE_OK || code == IMGSTORE_ENOTFOUND) {
    put_line(stdout, "%s %s", code == IMGSTORE_OK ? "Removing login credentials for" : "Not logged in to",
             text_get(&host));
    imgstore_error_free(error);
  } else {
    status = cli_failed(c, code, &error);
  }
  text_free(&host);
  return status;
}

const command command_logout = {
    .name = "logout",
    .usage = "[OPTIONS] [HOST]",
    .summary = "Forget the credentials for a registry (default: docker.io)",
    .examples = "  imgstore logout registry.example.org\n",
    .groups = (const option_group *const[]){&logout_group, &group_global, NULL},
    .max_words = 1,
    .run = run,
};
