/* json_out.h - writing JSON: one object per line, and documents laid out for reading. */
#ifndef CLI_JSON_OUT_H
#define CLI_JSON_OUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "text.h"

/** Starts an object in t. */
void json_begin(text *t);
/** Adds a member; value NULL adds nothing. */
void json_string(text *t, const char *key, const char *value);
void json_number(text *t, const char *key, uint64_t value);
/** Ends the object with a newline, writes it to file and empties t. */
void json_end(text *t, FILE *file);

/** Adds well-formed JSON to t with line breaks and four blanks per level, starting at level. */
void json_layout(text *t, const char *json, size_t size, size_t level);

#endif
