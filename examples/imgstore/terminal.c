/* terminal.c - prompts and hidden input. Knows nothing of registries. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

static int open_terminal(void) {
  if (isatty(STDIN_FILENO))
    return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static void say(int fd, const char *words) {
  /* A terminal that was opened for reading only still has standard error. */
  if (write(fd, words, strlen(words)) < 0 && write(STDERR_FILENO, words, strlen(words)) < 0)
    return;
}

/* Reads a line from fd; ends early on a signal, whose number is returned. */
static int read_line(int fd, int signals, char *answer, size_t size) {
  struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  struct signalfd_siginfo info;
  size_t length = 0;
  char c = 0;
  while (length + 1 < size) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR)
      return -1;
    if (polled[1].revents && read(signals, &info, sizeof info) == (ssize_t)sizeof info)
      return (int)info.ssi_signo;
    if (!polled[0].revents)
      continue;
    ssize_t got = read(fd, &c, 1);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0 || c == '\n') {
      answer[length] = '\0';
      return got <= 0 && length == 0 ? -1 : 0;
    }
    answer[length++] = c;
  }
  return -1;
}

static int ask(int fd, bool hidden, char *answer, size_t size) {
  struct termios before, without_echo;
  sigset_t set, old;
  hidden = hidden && tcgetattr(fd, &before) == 0;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGQUIT);
  int signals = signalfd(-1, &set, SFD_CLOEXEC);
  if (signals < 0)
    return -1;
  sigprocmask(SIG_BLOCK, &set, &old);
  if (hidden) {
    without_echo = before;
    without_echo.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
    without_echo.c_lflag |= ECHONL;
    tcsetattr(fd, TCSAFLUSH, &without_echo);
  }
  int result = read_line(fd, signals, answer, size);
  if (hidden)
    tcsetattr(fd, TCSAFLUSH, &before);
  close(signals);
  sigprocmask(SIG_SETMASK, &old, NULL);
  return result;
}

int terminal_ask(const char *prompt, bool hidden, char *answer, size_t size) {
  int fd = open_terminal();
  if (fd < 0)
    return -1;
  say(fd, prompt);
  int result = ask(fd, hidden, answer, size);
  if (result > 0)
    say(fd, "\n");
  close(fd);
  return result;
}

bool terminal_read_secret(char *secret, size_t size) {
  size_t length = 0;
  while (length < size) {
    ssize_t got = read(STDIN_FILENO, secret + length, size - length);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return false;
    if (got == 0)
      break;
    length += (size_t)got;
  }
  if (length == size)
    return false;
  if (length && secret[length - 1] == '\n')
    length--;
  if (length && secret[length - 1] == '\r')
    length--;
  secret[length] = '\0';
  return length > 0 && !memchr(secret, '\0', length);
}
