/*
 * engine/process.h (L4) - runs one program with given standard input and collects its output.
 */
#ifndef IMS_ENGINE_PROCESS_H
#define IMS_ENGINE_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"

enum { IMS_PROCESS_UNKNOWN = -1 };

/** What is started. */
typedef struct ims_process {
  const char *const *arguments; /**< ends with NULL; [0] is the program, looked up in PATH */
  const char *input;            /**< what it reads */
  uint32_t timeout_ms;
  const atomic_bool *cancelled; /**< or NULL */
  bool errors_too;              /**< output has what it writes to standard error as well, which else goes nowhere */
} ims_process;

/**
 * Runs it to its end. output: an initialised buffer whose ceiling holds; a program
 * that says more is killed. *status: 0 for success, another number for failure, IMS_PROCESS_UNKNOWN when the host
 * program takes the exit status of its children away (SIGCHLD ignored). The child is gone when this returns.
 */
int32_t ims_process_run(const ims_process *process, ims_buf *output, int *status, ims_error *err);

#endif
