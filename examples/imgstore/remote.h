/*
 * remote.h - what the commands share that manage a registry's content and need no store: a name on the command line,
 * the handle on its registry, and a job that is run with its warnings shown.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "job.h"

typedef struct remote {
  cli *c;
  job job;
  progress progress;
  imgstore_registry_options options;
  imgstore_registry_job_options job_options; /* with the progress set */
  imgstore_reference *reference;
  imgstore_registry *registry;
} remote;

/** Reads the options and begins; comes first. Returns an exit status; remote_close follows in any case. */
int remote_begin(remote *r, cli *c);
/** A handle on a host. Returns an exit status. */
int remote_open_host(remote *r, const char *host);
/** Parses a name and opens the registry it is of; may be called again for the next name. Returns an exit status. */
int remote_open(remote *r, const char *name);
/** Runs the operation that a _start function with this result made. What it did is in its report. Exit status. */
int remote_run(remote *r, int32_t code, imgstore_operation *operation, imgstore_error **error);
void remote_close(remote *r);

/** The tag or digest that a name on the command line gives; NULL when it gives none. */
const char *remote_version(const remote *r, const char *name);
/** Prints HOST/REPOSITORY[:TAG|@DIGEST] of the opened name to standard output, with a line break. */
void remote_print(const remote *r, const char *before, const char *separator, const char *version);

#endif
