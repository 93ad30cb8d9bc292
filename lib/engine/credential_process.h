/*
 * engine/credential_process.h (L4) - runs one program with given standard input and collects its standard output.
 */
#ifndef IMS_ENGINE_CREDENTIAL_PROCESS_H
#define IMS_ENGINE_CREDENTIAL_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"

enum { IMS_PROCESS_UNKNOWN = -1 };

/**
 * program is looked up in PATH and gets one argument. output: an initialised buffer whose ceiling holds; a program
 * that says more is killed. *status: 0 for success, another number for failure, IMS_PROCESS_UNKNOWN when the host
 * program takes the exit status of its children away (SIGCHLD ignored). The child is gone when this returns.
 */
int32_t ims_process_run(const char *program, const char *argument, const char *input, uint32_t timeout_ms,
                        const atomic_bool *cancelled, ims_buf *output, int *status, ims_error *err);

#endif
