/*
 * engine/operation_part.h (L4) - jobs whose parts are jobs: a part's wake-ups, events and failures are the whole's.
 */
#ifndef IMS_ENGINE_OPERATION_PART_H
#define IMS_ENGINE_OPERATION_PART_H

#include "engine/operation.h"

/** The progress callback of a part; whole: its operation, as the callback's data. */
int32_t ims_part_event(void *whole, const imgstore_event *event);
/** A part was started: its descriptor wakes the whole. One part at a time. */
int32_t ims_part_begin(imgstore_operation *whole, imgstore_operation *part);
/** One step of it. A failure is the whole's. */
int32_t ims_part_step(imgstore_operation *whole, imgstore_operation *part);

#endif
