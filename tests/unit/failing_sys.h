/*
 * tests/unit/failing_sys.h - system calls on files of which one fails, the n-th of them.
 */
#ifndef TEST_FAILING_SYS_H
#define TEST_FAILING_SYS_H

#include <stdbool.h>

#include "base/sys.h"

/* Which call fails, and how. */
typedef struct failing_calls {
  long left;   /**< calls that succeed before one fails; -1: none fails */
  int error;   /**< its errno */
  bool failed; /**< it came to that */
} failing_calls;

extern failing_calls failing_call;

/** Replaces calls in sys by ones of which the call after `left` others fails with error. */
void failing_sys_plan(ims_sys *sys, long left, int error);
/** For a call that a test replaces itself: true when it is the one to fail, then errno is set. */
bool failing_sys_now(void);

#endif
