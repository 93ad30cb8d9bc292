/*
 * base/text.c (L0) - locale-independent text helpers.
 */
#include "base/text.h"

#include <string.h>

size_t ims_utf8_length(const unsigned char *s, size_t size) {
  if (!size)
    return 0;
  unsigned char c = s[0];
  if (c < 0x80)
    return 1;
  if (c < 0xc2 || c > 0xf4)
    return 0;
  size_t length = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
  if (size < length)
    return 0;
  for (size_t i = 1; i < length; i++)
    if ((s[i] & 0xc0) != 0x80)
      return 0;
  if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
      (c == 0xf4 && s[1] > 0x8f))
    return 0; /* overlong, surrogate, beyond U+10FFFF */
  return length;
}

bool ims_utf8_valid(const char *s, size_t size) {
  for (size_t i = 0; i < size;) {
    size_t length = ims_utf8_length((const unsigned char *)s + i, size - i);
    if (!length)
      return false;
    i += length;
  }
  return true;
}

void ims_hex_encode(const uint8_t *bytes, size_t size, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < size; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
  out[2 * size] = '\0';
}

bool ims_is_lower_hex(const char *s, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
      return false;
  return true;
}

char ims_ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool ims_is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool ims_is_alnum(char c) {
  char l = ims_ascii_lower(c);
  return ims_is_digit(c) || (l >= 'a' && l <= 'z');
}

bool ims_equal_fold_n(const char *a, size_t a_size, const char *b, size_t b_size) {
  if (a_size != b_size)
    return false;
  for (size_t i = 0; i < a_size; i++)
    if (ims_ascii_lower(a[i]) != ims_ascii_lower(b[i]))
      return false;
  return true;
}

bool ims_equal_fold(const char *a, const char *b) {
  return ims_equal_fold_n(a, strlen(a), b, strlen(b));
}

bool ims_starts_with(const char *s, const char *prefix) {
  return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ims_ends_with(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool ims_parse_u64(const char *s, size_t size, uint64_t max, uint64_t *value) {
  uint64_t v = 0;
  if (!size)
    return false;
  for (size_t i = 0; i < size; i++) {
    if (!ims_is_digit(s[i]))
      return false;
    uint64_t digit = (uint64_t)(s[i] - '0');
    if (v > (max - digit) / 10 || digit > max)
      return false;
    v = v * 10 + digit;
  }
  *value = v;
  return true;
}

void ims_errno_text(int os_errno, char *out, size_t capacity) {
#if defined(__GLIBC__)
  const char *text = strerror_r(os_errno, out, capacity);
  if (text != out && capacity) {
    size_t size = strlen(text) < capacity - 1 ? strlen(text) : capacity - 1;
    memcpy(out, text, size);
    out[size] = '\0';
  }
#else
  if (strerror_r(os_errno, out, capacity) != 0 && capacity)
    out[0] = '\0';
#endif
}
