/*
 * base/base64.c (L0) - base64 of RFC 4648, strict. What it decodes are secrets and descriptor data: it knows neither.
 */
#include "base/base64.h"

#include "imgstore/error.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or -1. By ranges: no table that a cache could tell about. */
static int value_of(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four with pad characters of padding at its end; bits that do not count must be zero. */
static int32_t decode_group(const char *text, size_t pad, uint8_t out[3]) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; i++) {
    int value = i < 4 - pad ? value_of(text[i]) : text[i] == '=' ? 0 : -1;
    if (value < 0)
      return IMGSTORE_EFORMAT;
    bits = bits << 6 | (uint32_t)value;
  }
  if (pad && (bits & ((1u << (8 * pad)) - 1)))
    return IMGSTORE_EFORMAT;
  for (size_t i = 0; i < 3 - pad; i++)
    out[i] = (uint8_t)(bits >> (16 - 8 * i));
  return IMGSTORE_OK;
}

int32_t ims_base64_decode(const char *text, size_t size, uint8_t *out, size_t *out_size) {
  size_t used = 0;
  *out_size = 0;
  if (size % 4)
    return IMGSTORE_EFORMAT;
  for (size_t i = 0; i < size; i += 4) {
    size_t pad = 0;
    if (i + 4 == size && text[i + 3] == '=')
      pad = text[i + 2] == '=' ? 2 : 1;
    if (decode_group(text + i, pad, out + used) != IMGSTORE_OK)
      return IMGSTORE_EFORMAT;
    used += 3 - pad;
  }
  *out_size = used;
  return IMGSTORE_OK;
}

size_t ims_base64_encode(const uint8_t *bytes, size_t size, char *out) {
  size_t used = 0;
  for (size_t i = 0; i < size; i += 3) {
    size_t left = size - i;
    uint32_t bits = (uint32_t)bytes[i] << 16;
    if (left > 1)
      bits |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2)
      bits |= bytes[i + 2];
    out[used++] = alphabet[bits >> 18];
    out[used++] = alphabet[bits >> 12 & 63];
    out[used++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
    out[used++] = left > 2 ? alphabet[bits & 63] : '=';
  }
  out[used] = '\0';
  return used;
}
