/*
 * job.h - drives an operation to its end: steps it when it has work, shows its progress, stops it on a signal.
 *
 * This is the event-driven face of the library: one poll() over the operation's descriptor and the signals'.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <signal.h>

#include "cli.h"
#include "progress.h"

typedef struct job {
  int signals;     /* a signalfd, or -1 */
  sigset_t before; /* the signal mask to go back to */
  int caught;      /* the signal that stopped the job, or 0 */
} job;

/** From here on an interrupt is seen by job_run alone. Comes before the context is made: workers inherit the mask. */
void job_begin(job *j);
void job_end(job *j);
/** Runs operation to its end. Returns its result. */
int32_t job_run(job *j, progress *p, imgstore_operation *operation, imgstore_error **error);
/** As cli_failed, but for a job that a signal stopped. */
int job_failed(const job *j, const cli *c, int32_t code, imgstore_error **error);

#endif
