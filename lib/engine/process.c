/*
 * engine/process.c (L4) - starts a program without a shell, with no descriptor but its three, and never
 * leaves it behind. Owns the child: it reaps exactly this process and installs no signal handler.
 *
 * The input is an unnamed file in memory: nothing to feed, no SIGPIPE when the program does not read it. It knows
 * nothing of what the program is for.
 */
#include "engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

enum { SLICE_MS = 100, READ_PIECE = 4096 };

typedef struct running {
  pid_t pid;
  int output_fd;
  bool reaped;
  int status;
} running;

static int make_input(const char *input, int *fd) {
  size_t size = strlen(input);
  *fd = memfd_create("input", MFD_CLOEXEC);
  if (*fd < 0)
    return errno;
  for (size_t at = 0; at < size;) {
    ssize_t wrote = pwrite(*fd, input + at, size - at, (off_t)at);
    if (wrote < 0 && errno != EINTR)
      return errno;
    at += wrote > 0 ? (size_t)wrote : 0;
  }
  return 0;
}

/* A copy at a number above 2, so that putting one in place does not overwrite another. */
static int lift(int *fd) {
  if (*fd > 2)
    return 0;
  int copy = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0)
    return errno;
  close(*fd);
  *fd = copy;
  return 0;
}

static int add_files(posix_spawn_file_actions_t *actions, int input_fd, int output_fd, bool errors_too) {
  int failed = posix_spawn_file_actions_adddup2(actions, input_fd, 0);
  if (!failed)
    failed = posix_spawn_file_actions_adddup2(actions, output_fd, 1);
  if (!failed && errors_too)
    failed = posix_spawn_file_actions_adddup2(actions, output_fd, 2);
  else if (!failed)
    failed = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
  /* What the host or another library opened without close-on-exec is none of the program's business. */
  if (!failed)
    failed = posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
#endif
  return failed;
}

/* The program starts with nothing blocked and nothing ignored that the host chose for itself. */
static int add_signals(posix_spawnattr_t *attributes) {
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGCHLD);
  sigaddset(&defaults, SIGINT);
  sigaddset(&defaults, SIGTERM);
  int failed = posix_spawnattr_setsigmask(attributes, &none);
  if (!failed)
    failed = posix_spawnattr_setsigdefault(attributes, &defaults);
  return failed ? failed : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(running *p, const ims_process *what, int input_fd, int output_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  char *const *arguments = (char *const *)(uintptr_t)what->arguments;
  int failed = posix_spawn_file_actions_init(&actions);
  if (failed)
    return failed;
  failed = posix_spawnattr_init(&attributes);
  if (!failed) {
    failed = add_files(&actions, input_fd, output_fd, what->errors_too);
    if (!failed)
      failed = add_signals(&attributes);
    if (!failed)
      failed = posix_spawnp(&p->pid, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

static int start(running *p, const ims_process *what) {
  int input_fd = -1, ends[2] = {-1, -1};
  int failed = make_input(what->input, &input_fd);
  if (!failed && pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
    failed = errno;
  /* Only our end must not block. */
  if (!failed && fcntl(ends[1], F_SETFL, 0) < 0)
    failed = errno;
  if (!failed)
    failed = lift(&input_fd);
  if (!failed)
    failed = lift(&ends[1]);
  if (!failed)
    failed = spawn(p, what, input_fd, ends[1]);
  if (input_fd >= 0)
    close(input_fd);
  if (ends[1] >= 0)
    close(ends[1]);
  if (failed && ends[0] >= 0)
    close(ends[0]);
  p->output_fd = failed ? -1 : ends[0];
  return failed;
}

/* True when the child is gone. flags: 0 waits, WNOHANG does not. */
static bool reap(running *p, int flags) {
  int status;
  pid_t got;
  if (p->reaped)
    return true;
  do
    got = waitpid(p->pid, &status, flags);
  while (got < 0 && errno == EINTR);
  if (got == 0)
    return false;
  p->reaped = true;
  p->status = got < 0 ? IMS_PROCESS_UNKNOWN : WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return true;
}

/* Everything that is there now. *end: no writer is left. */
static int32_t drain(running *p, ims_buf *output, bool *end, const char *program, ims_error *err) {
  char piece[READ_PIECE];
  int32_t code = IMGSTORE_OK;
  while (code == IMGSTORE_OK) {
    ssize_t got = read(p->output_fd, piece, sizeof piece);
    if (got > 0) {
      code = ims_buf_append(output, piece, (size_t)got);
    } else if (got == 0) {
      *end = true;
      break;
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      code = ims_fail(err, IMGSTORE_EIO, "%s: cannot read its output", program);
    }
  }
  ims_wipe(piece, sizeof piece);
  if (code == IMGSTORE_ELIMIT)
    return ims_fail(err, IMGSTORE_EIO, "%s: its output is over %zu bytes", program, output->ceiling);
  return code == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : code;
}

/* Until the child is gone. A process that it left behind may hold the output open: that is not waited for. */
static int32_t follow(running *p, const ims_process *what, ims_buf *output, ims_error *err) {
  const char *program = what->arguments[0];
  int64_t deadline = ims_now_ms() + what->timeout_ms;
  bool end = false;
  for (;;) {
    bool gone = reap(p, WNOHANG);
    int32_t code = end ? IMGSTORE_OK : drain(p, output, &end, program, err);
    if (code != IMGSTORE_OK || gone)
      return code;
    if (what->cancelled && atomic_load(what->cancelled))
      return ims_fail(err, IMGSTORE_ECANCELLED, "cancelled");
    if (ims_now_ms() >= deadline)
      return ims_fail(err, IMGSTORE_ETIMEOUT, "%s: no answer within %u s", program, what->timeout_ms / 1000);
    /* Between the end of its output and its exit there is nothing to poll, but it will not be long. */
    struct pollfd ready = {end ? -1 : p->output_fd, POLLIN, 0};
    poll(&ready, 1, end ? 1 : SLICE_MS);
  }
}

int32_t ims_process_run(const ims_process *process, ims_buf *output, int *status, ims_error *err) {
  running p = {.pid = -1, .output_fd = -1, .status = IMS_PROCESS_UNKNOWN};
  *status = IMS_PROCESS_UNKNOWN;
  int failed = start(&p, process);
  if (failed) {
    char reason[128];
    ims_errno_text(failed, reason, sizeof reason);
    return ims_fail(err, IMGSTORE_EIO, "%s cannot be started: %s", process->arguments[0], reason);
  }
  int32_t code = follow(&p, process, output, err);
  if (!reap(&p, WNOHANG)) {
    kill(p.pid, SIGKILL);
    reap(&p, 0);
  }
  close(p.output_fd);
  *status = p.status;
  return code;
}
