/* job.c - a job from its options to its exit status. Signals are read from a descriptor: no handler, no global state.
 */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Signals that the parent had ignored (nohup, background jobs of a shell) stay ignored. */
static void add_unless_ignored(sigset_t *set, int number) {
  struct sigaction action;
  if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
    sigaddset(set, number);
}

static void block_signals(job *j) {
  sigset_t set;
  sigemptyset(&set);
  add_unless_ignored(&set, SIGINT);
  add_unless_ignored(&set, SIGTERM);
  add_unless_ignored(&set, SIGHUP);
  j->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (j->signals < 0)
    sigemptyset(&set);
  sigprocmask(SIG_BLOCK, &set, &j->before);
}

static void unblock_signals(job *j) {
  if (j->signals >= 0)
    close(j->signals);
  j->signals = -1;
  sigprocmask(SIG_SETMASK, &j->before, NULL);
}

bool job_begin(job *j, cli *c, const progress_words *words) {
  *j = (job){.c = c};
  block_signals(j);
  return progress_begin(&j->progress, c, words);
}

int job_end(job *j, int status) {
  imgstore_operation_free(j->operation);
  progress_free(&j->progress);
  unblock_signals(j);
  return status;
}

/* The first signal asks the job to stop; a second one ends the process: a store survives that as well. */
static void take_signals(job *j) {
  struct signalfd_siginfo info;
  while (j->signals >= 0 && read(j->signals, &info, sizeof info) == (ssize_t)sizeof info) {
    if (j->caught) {
      unblock_signals(j);
      raise((int)info.ssi_signo);
      return;
    }
    j->caught = (int)info.ssi_signo;
    imgstore_operation_cancel(j->operation);
  }
}

int32_t job_drive(job *j, int32_t code, imgstore_error **error) {
  if (code != IMGSTORE_OK)
    return code;
  struct pollfd polled[2] = {{.fd = imgstore_operation_fd(j->operation), .events = POLLIN},
                             {.fd = j->signals, .events = POLLIN}};
  while ((code = imgstore_operation_step(j->operation, 0, error)) == IMGSTORE_EAGAIN) {
    progress_tick(&j->progress);
    if (poll(polled, 2, progress_timeout(&j->progress)) > 0 && polled[1].revents)
      take_signals(j);
  }
  progress_end(&j->progress);
  return code;
}

int job_status(const job *j, int32_t code, imgstore_error **error) {
  if (code == IMGSTORE_OK)
    return CLI_OK;
  if (!j->caught)
    return cli_failed(j->c, code, error);
  imgstore_error_free(*error);
  *error = NULL;
  cli_message(j->c, "cancelled");
  return CLI_INTERRUPTED + j->caught;
}

int job_run(job *j, int32_t code, imgstore_error **error) {
  return job_status(j, job_drive(j, code, error), error);
}

void job_print_image_id(const job *j) {
  imgstore_image *image = imgstore_operation_image(j->operation);
  put_line(stdout, "%s", imgstore_image_id(image));
  imgstore_image_unref(image);
}
