/*
 * compress/little_endian.h (L1, inside compress/) - words at any address, in the same byte order on every machine.
 */
#ifndef IMS_COMPRESS_LITTLE_ENDIAN_H
#define IMS_COMPRESS_LITTLE_ENDIAN_H

#include <stdint.h>
#include <string.h>

static inline uint64_t ims_swap_le64(uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap64(value);
#else
  return value;
#endif
}

static inline uint64_t ims_load_le64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return ims_swap_le64(value);
}

static inline uint32_t ims_load_le32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return __builtin_bswap32(value);
#else
  return value;
#endif
}

static inline void ims_store_le64(uint8_t *at, uint64_t value) {
  value = ims_swap_le64(value);
  memcpy(at, &value, sizeof value);
}

#endif
