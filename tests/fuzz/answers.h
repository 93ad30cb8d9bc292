/*
 * tests/fuzz/answers.h - input of a fuzz target as the answers of a registry.
 *
 * Lines: a number is an answer's status, the lines up to the next number are its headers.
 */
#ifndef FUZZ_ANSWERS_H
#define FUZZ_ANSWERS_H

#include <stdbool.h>

#include "registry/call.h"

enum { FUZZ_HEADERS = 8 };

typedef struct fuzz_answer {
  ims_reply reply; /* its headers are this answer's */
  char *headers[FUZZ_HEADERS];
  size_t count;
} fuzz_answer;

/** Reads one answer; the text, which is changed, must outlive it. Without a number the status is otherwise. false at
 * the end. */
bool fuzz_answer_take(char **at, fuzz_answer *answer, int32_t otherwise);

#endif
