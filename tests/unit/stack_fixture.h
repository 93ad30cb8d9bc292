/*
 * tests/unit/stack_fixture.h - a stack of layers (in the text form of apply_fixture.h), each applied to a directory of
 * its own, and what an overlay mount of them shows.
 */
#ifndef STACK_FIXTURE_H
#define STACK_FIXTURE_H

#include "apply_fixture.h"

enum { STACK_MAX = 8 };

typedef struct stack {
  scratch *s;
  size_t count;
  bool trusted; /**< trusted.overlay.*, else user.overlay.* */
  ims_quota quota;
  size_t redone;     /**< layers that were applied again with those below in view */
  int fd[STACK_MAX]; /**< of the layers' directories */
  ims_apply *apply[STACK_MAX];
  ims_layer_record record[STACK_MAX];
  ims_lower lower[STACK_MAX]; /**< the uppermost first */
} stack;

/** ordered: every layer is applied with those below in view; else the uppermost first, and then settled. */
int32_t stack_apply(stack *k, scratch *s, const char *const *layers, bool ordered);
void stack_free(stack *k);
/** Mounts the layers on each other and lists what is seen: as scratch_list with times, but "now" for times of today,
 * and "first=PATH" for names of one file. groups: with those. NULL when the system does not let us mount. */
char *stack_list(const stack *k, bool groups);
/** The same form of directory `name` of the scratch directory. */
char *stack_list_plain(const scratch *s, const char *name, bool groups);

#endif
