/*
 * remote.h - what the commands share that talk to one registry: a job, the options, a name on the command line, and
 * the handle on its registry.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "job.h"

typedef struct remote {
  job job;
  imgstore_registry_options options;
  imgstore_reference *reference;
  imgstore_registry *registry;
} remote;

/** Begins the job and reads the options of the registry. false after a message: CLI_USAGE. remote_end follows in any
 * case. */
bool remote_begin(remote *r, cli *c, const progress_words *words);
/** Makes the context, parses a name and opens the registry that it is of; may be called again for the next name.
 * Returns an exit status. */
int remote_open(remote *r, const char *name);
/** The same with a host instead of a name. */
int remote_open_host(remote *r, const char *host);
/** Frees what was opened, ends the job. Returns status. */
int remote_end(remote *r, int status);

/** The options of a job that manages the content of the registry, with the progress set. */
imgstore_registry_job_options remote_job_options(remote *r);
/** The tag or digest that a name on the command line gives; NULL when it gives none. */
const char *remote_version(const remote *r, const char *name);
/** Prints the names of the job's report; key: of the JSON member, where json is wanted. */
void remote_print_names(const remote *r, const char *key, bool json);
/** Prints HOST/REPOSITORY[:TAG|@DIGEST] of the opened name to standard output, with a line break. */
void remote_print(const remote *r, const char *before, const char *separator, const char *version);

#endif
