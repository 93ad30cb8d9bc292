/*
 * base/text.h (L0) - small locale-independent text helpers: UTF-8, hex, ASCII case, numbers, errno.
 */
#ifndef IMS_BASE_TEXT_H
#define IMS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of the well-formed UTF-8 character at s (1..4), or 0 when there is none in size bytes. */
size_t ims_utf8_length(const unsigned char *s, size_t size);
bool ims_utf8_valid(const char *s, size_t size);
/** Writes 2*size lower-case digits and a NUL. */
void ims_hex_encode(const uint8_t *bytes, size_t size, char *out);
bool ims_is_lower_hex(const char *s, size_t size);
char ims_ascii_lower(char c);
bool ims_is_alnum(char c);
bool ims_is_digit(char c);
/** Case-insensitive comparison of ASCII text (header names, host names). */
bool ims_equal_fold(const char *a, const char *b);
bool ims_equal_fold_n(const char *a, size_t a_size, const char *b, size_t b_size);
bool ims_starts_with(const char *s, const char *prefix);
bool ims_ends_with(const char *s, const char *suffix);
/** Parses all of s as decimal digits; false when empty, not digits, or over max. */
bool ims_parse_u64(const char *s, size_t size, uint64_t max, uint64_t *value);
/** The system's text for an errno, thread-safe. */
void ims_errno_text(int os_errno, char *out, size_t capacity);

#endif
