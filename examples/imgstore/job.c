/* job.c - the loop around an operation. Signals are read from a descriptor: no handler, no global state. */
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

void job_begin(job *j) {
  sigset_t set;
  sigemptyset(&set);
  add_unless_ignored(&set, SIGINT);
  add_unless_ignored(&set, SIGTERM);
  add_unless_ignored(&set, SIGHUP);
  j->caught = 0;
  j->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (j->signals < 0)
    sigemptyset(&set);
  sigprocmask(SIG_BLOCK, &set, &j->before);
}

void job_end(job *j) {
  if (j->signals >= 0)
    close(j->signals);
  j->signals = -1;
  sigprocmask(SIG_SETMASK, &j->before, NULL);
}

/* The first signal asks the job to stop; a second one ends the process: a store survives that as well. */
static void take_signals(job *j, imgstore_operation *operation) {
  struct signalfd_siginfo info;
  while (j->signals >= 0 && read(j->signals, &info, sizeof info) == (ssize_t)sizeof info) {
    if (j->caught) {
      job_end(j);
      raise((int)info.ssi_signo);
      return;
    }
    j->caught = (int)info.ssi_signo;
    imgstore_operation_cancel(operation);
  }
}

int32_t job_run(job *j, progress *p, imgstore_operation *operation, imgstore_error **error) {
  struct pollfd polled[2] = {{.fd = imgstore_operation_fd(operation), .events = POLLIN},
                             {.fd = j->signals, .events = POLLIN}};
  int32_t code = IMGSTORE_EAGAIN;
  for (;;) {
    code = imgstore_operation_step(operation, 0, error);
    if (code != IMGSTORE_EAGAIN)
      break;
    progress_tick(p);
    if (poll(polled, 2, progress_timeout(p)) > 0 && polled[1].revents)
      take_signals(j, operation);
  }
  progress_end(p);
  return code;
}

int job_failed(const job *j, const cli *c, int32_t code, imgstore_error **error) {
  if (!j->caught)
    return cli_failed(c, code, error);
  imgstore_error_free(*error);
  *error = NULL;
  cli_message(c, "cancelled");
  return CLI_INTERRUPTED + j->caught;
}
