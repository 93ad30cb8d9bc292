/* terminal.h - asking the user. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Asks on the terminal and reads one line, without its end. hidden: what is typed is not shown; the terminal is as
 * before afterwards, also when a signal ends the question. Returns 0, -1 when there is no terminal or no answer, or the
 * number of the signal.
 */
int terminal_ask(const char *prompt, bool hidden, char *answer, size_t size);
/** Reads one secret from standard input, without the end of its line. false: none, or longer than size. */
bool terminal_read_secret(char *secret, size_t size);

#endif
