/* bundle_options.c - the options of what runs in a container: bundle and run. */
#include <stdlib.h>

#include "cli.h"

static const option bundle_options[] = {
    {OPTION_USER, 'u', "user", "USER[:GROUP]", "names or numbers, looked up in the root file system"},
    {OPTION_ENV, 'e', "env", "NAME=VALUE", "added to the image's environment; may be given again"},
    {OPTION_WORKDIR, 'w', "workdir", "DIR", "the working directory"},
    {OPTION_ENTRYPOINT, 0, "entrypoint", "PROGRAM", "instead of the image's"},
    {OPTION_HOSTNAME, 0, "hostname", "NAME", "the host name (default: the instance's name)"},
    {OPTION_TERMINAL, 't', "terminal", NULL, "on a terminal of its own"},
    {OPTION_ROOTLESS, 0, "rootless", NULL, "in a user namespace, without privileges"},
    {OPTION_NETWORK, 0, "network", "none|host", "a network of its own, or this machine's (default: none)"},
    ROW_END};
const option_group group_bundle = {"Container options", bundle_options};

static bool read_network(const cli *c, uint32_t *flags) {
  static const choice networks[] = {{"none", 0}, {"host", IMGSTORE_BUNDLE_HOST_NETWORK}, {NULL, 0}};
  int32_t network = 0;
  bool good = cli_choice(c, OPTION_NETWORK, networks, &network);
  *flags |= (uint32_t)network;
  return good;
}

bool cli_bundle_settings(cli *c, const char **args, size_t count, bundle_settings *settings) {
  imgstore_bundle_options *o = &settings->options;
  imgstore_bundle_options_init(o, sizeof *o);
  o->flags = (option_given(&c->args, OPTION_TERMINAL) ? IMGSTORE_BUNDLE_TERMINAL : 0) |
             (option_given(&c->args, OPTION_ROOTLESS) ? IMGSTORE_BUNDLE_ROOTLESS : 0);
  o->args = count ? args : NULL;
  o->arg_count = count;
  o->user = option_value(&c->args, OPTION_USER);
  o->cwd = option_value(&c->args, OPTION_WORKDIR);
  o->hostname = option_value(&c->args, OPTION_HOSTNAME);
  for (size_t i = 0; i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_ENTRYPOINT) {
      o->entrypoint = &c->args.options[i].value;
      o->entrypoint_count = 1;
    }
  bool good = read_network(c, &o->flags) && cli_values(c, OPTION_ENV, &settings->env, &o->env_count);
  o->env = settings->env;
  return good;
}

void bundle_settings_free(bundle_settings *settings) {
  free(settings->env);
}
