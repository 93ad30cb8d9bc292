/* units.h - sizes, ages and dates the way container tools print them. Pure functions: the time comes in. */
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct unit_text {
  char text[48];
} unit_text;

/** Bytes in decimal units with three significant digits: "7.8MB". */
unit_text units_size(uint64_t bytes);
/** Reads an RFC 3339 time. false when it is absent, malformed, or the year 1 that stands for "not known". */
bool units_parse_time(const char *text, int64_t *seconds);
/** "2 months ago", or "N/A" when created is not a time. */
unit_text units_age(const char *created, int64_t now);
/** "2024-09-06 22:20:07 +0000 UTC", or "N/A". */
unit_text units_date(const char *created);
/** The first 12 hex digits of a digest. */
unit_text units_short_id(const char *digest);
/** A decimal number in 0..max. false when text is anything else. */
bool units_number(const char *text, uint64_t max, uint64_t *number);

#endif
