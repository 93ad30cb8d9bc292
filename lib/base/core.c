/*
 * base/core.c (L0) - the context object: reference count, log, clock.
 */
#include "base/core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pool.h"

ims_core *ims_core_new(const imgstore_context_options *options) {
  ims_alloc alloc = ims_alloc_default;
  if (options->allocator) {
    alloc.user_data = options->allocator->user_data;
    alloc.allocate = options->allocator->allocate;
    alloc.reallocate = options->allocator->reallocate;
    alloc.release = options->allocator->release;
  }
  ims_core *core = ims_calloc(&alloc, 1, sizeof *core);
  if (!core)
    return NULL;
  atomic_init(&core->refs, 1);
  core->alloc = alloc;
  core->sys = &ims_sys_default;
  core->log = options->log;
  core->log_data = options->log_data;
  core->log_level = options->log_level;
  core->limits = *options;
  core->limits.allocator = NULL;
  core->pid = getpid();
  if (options->workers) {
    core->pool = ims_pool_new(&core->alloc, options->workers);
    if (!core->pool) {
      ims_core_unref(core);
      return NULL;
    }
  }
  return core;
}

ims_core *ims_core_ref(ims_core *core) {
  atomic_fetch_add_explicit(&core->refs, 1, memory_order_relaxed);
  return core;
}

void ims_core_unref(ims_core *core) {
  if (!core || atomic_fetch_sub_explicit(&core->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (core->pid == getpid()) /* after a fork the worker threads are not there to be joined */
    ims_pool_free(core->pool);
  ims_alloc alloc = core->alloc;
  ims_free(&alloc, core);
}

int ims_log_wants(const ims_core *core, int32_t level) {
  return core->log && level <= core->log_level;
}

void ims_log(const ims_core *core, int32_t level, const char *format, ...) {
  if (!ims_log_wants(core, level))
    return;
  char raw[512], line[1024];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(raw, sizeof raw, format, args);
  va_end(args);
  if (length < 0)
    return;
  ims_sanitize(line, sizeof line, raw, (size_t)length < sizeof raw ? (size_t)length : sizeof raw - 1);
  core->log(core->log_data, level, line);
}

static int64_t clock_ns(clockid_t clock) {
  struct timespec ts;
  clock_gettime(clock, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t ims_now_ms(void) {
  return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t ims_wall_ns(void) {
  return clock_ns(CLOCK_REALTIME);
}
