/*
 * job.h - what every command with a long job shares: signals, progress, the operation, and the loop that drives it.
 *
 * This is the event-driven face of the library: one poll() over the operation's descriptor and the signals'.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <signal.h>

#include "cli.h"
#include "progress.h"

typedef struct job {
  cli *c;
  progress progress;
  imgstore_operation *operation; /* for a _start function to fill in; freed by job_end */
  int signals;                   /* a signalfd, or -1 */
  sigset_t before;               /* the signal mask to go back to */
  int caught;                    /* the signal that stopped the job, or 0 */
} job;

/**
 * Reads the options of progress. From here on an interrupt is seen by the job alone; so this comes before the context
 * is made: workers inherit the mask. words: NULL for a job without layers. false after a message: CLI_USAGE. job_end
 * follows in any case.
 */
bool job_begin(job *j, cli *c, const progress_words *words);
/** Runs the operation, which a _start function with the result code made, to its end. Returns an exit status. */
int job_run(job *j, int32_t code, imgstore_error **error);
/** The two halves of job_run: the result of the operation, and what is said about it. */
int32_t job_drive(job *j, int32_t code, imgstore_error **error);
int job_status(const job *j, int32_t code, imgstore_error **error);
/** Prints the ID of the image that the finished job made. */
void job_print_image_id(const job *j);
/** Frees what the job holds. Returns status. */
int job_end(job *j, int status);

#endif
