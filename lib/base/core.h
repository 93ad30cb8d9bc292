/*
 * base/core.h (L0) - what a context is inside: the object every handle keeps a reference to.
 */
#ifndef IMS_BASE_CORE_H
#define IMS_BASE_CORE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "imgstore/context.h"

struct ims_pool;

struct imgstore_context {
  atomic_uint refs;
  ims_alloc alloc;
  const ims_sys *sys;
  imgstore_log_fn log;
  void *log_data;
  int32_t log_level;
  imgstore_context_options limits; /**< the max_* fields and workers; pointers in it are not used */
  struct ims_pool *pool;           /**< NULL when workers is 0 */
  pid_t pid;                       /**< the process that made it: workers and sockets do not survive a fork */
};
typedef struct imgstore_context ims_core;

/** options: complete (all fields set). NULL when out of memory or no thread can be started. */
ims_core *ims_core_new(const imgstore_context_options *options);
ims_core *ims_core_ref(ims_core *core);
void ims_core_unref(ims_core *core);

/** True when a line of this level is wanted: ask before making an expensive one. */
int ims_log_wants(const ims_core *core, int32_t level);
/** One line for the log sink; only on the thread that drives an operation. */
void ims_log(const ims_core *core, int32_t level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** Monotonic milliseconds, and nanoseconds since 1970. */
int64_t ims_now_ms(void);
int64_t ims_wall_ns(void);

#endif
