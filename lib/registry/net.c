/*
 * registry/net.c (L2) - what kind of place a host is, judged by its text alone, and which hosts a proxy is not used
 * for.
 */
#include "registry/net.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"
#include "registry/url.h"

static int digit_value(char c) {
  char l = ims_ascii_lower(c);
  return ims_is_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : 99;
}

/* One component of an IPv4 address: decimal, 0octal or 0xhex. */
static bool parse_component(const char *text, size_t size, uint64_t *value) {
  int base = 10;
  if (size >= 2 && text[0] == '0' && ims_ascii_lower(text[1]) == 'x') {
    base = 16;
    text += 2;
    size -= 2;
  } else if (size >= 2 && text[0] == '0') {
    base = 8;
  }
  *value = 0;
  for (size_t i = 0; i < size; i++) {
    int digit = digit_value(text[i]);
    if (digit >= base)
      return false;
    *value = *value * (uint64_t)base + (uint64_t)digit;
    if (*value > UINT32_MAX)
      return false;
  }
  return size > 0 || base == 16;
}

static bool parse_v4(ims_address *address, const char *text, size_t size) {
  uint64_t part[4], value = 0;
  size_t count = 0;
  for (size_t at = 0; at <= size; count++) {
    const char *dot = memchr(text + at, '.', size - at);
    size_t end = dot ? (size_t)(dot - text) : size;
    if (count == 4 || end == at || !parse_component(text + at, end - at, &part[count]))
      return false;
    at = end + 1;
  }
  for (size_t i = 0; i + 1 < count; i++) {
    if (part[i] > 255)
      return false;
    value |= part[i] << (24 - 8 * i);
  }
  if (!count || part[count - 1] >= (uint64_t)1 << (8 * (5 - count)))
    return false;
  value |= part[count - 1];
  address->v6 = false;
  for (int i = 0; i < 4; i++)
    address->bytes[i] = (uint8_t)(value >> (24 - 8 * i));
  return true;
}

bool ims_address_parse(ims_address *address, const char *text, size_t size) {
  memset(address, 0, sizeof *address);
  char copy[64];
  if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
    text++;
    size -= 2;
  } else if (!memchr(text, ':', size)) {
    return parse_v4(address, text, size);
  }
  if (size >= sizeof copy)
    return false;
  memcpy(copy, text, size);
  copy[size] = '\0';
  address->v6 = true;
  return strlen(copy) == size && inet_pton(AF_INET6, copy, address->bytes) == 1;
}

bool ims_host_ends_in_number(const char *host, size_t size) {
  const char *dot = size ? memrchr(host, '.', size) : NULL;
  const char *label = dot ? dot + 1 : host;
  size_t length = size - (size_t)(label - host);
  bool hex = length >= 2 && label[0] == '0' && ims_ascii_lower(label[1]) == 'x';
  for (size_t i = hex ? 2 : 0; i < length; i++)
    if (digit_value(label[i]) >= (hex ? 16 : 10))
      return false;
  return length > 0;
}

static int class_v4(const uint8_t *b) {
  if (b[0] == 127 || b[0] == 0)
    return IMS_NET_LOOPBACK; /* 0.0.0.0 reaches this host */
  if (b[0] == 169 && b[1] == 254)
    return IMS_NET_LINK_LOCAL;
  if (b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168))
    return IMS_NET_PRIVATE;
  if ((b[0] == 100 && (b[1] & 0xc0) == 64) || (b[0] == 198 && (b[1] & 0xfe) == 18) || b[0] >= 224)
    return IMS_NET_PRIVATE;
  return IMS_NET_PUBLIC;
}

static int class_v6(const uint8_t *b) {
  static const uint8_t zero[16] = {0};
  static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
  if (memcmp(b, zero, 15) == 0 && b[15] <= 1)
    return IMS_NET_LOOPBACK;
  if (memcmp(b, zero, 10) == 0 && ((b[10] == 0xff && b[11] == 0xff) || (b[10] == 0 && b[11] == 0)))
    return class_v4(b + 12); /* IPv4 in IPv6 */
  if (memcmp(b, nat64, 12) == 0)
    return class_v4(b + 12);
  if (b[0] == 0x20 && b[1] == 0x02)
    return class_v4(b + 2); /* 6to4 */
  if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
    return IMS_NET_LINK_LOCAL;
  if ((b[0] & 0xfe) == 0xfc || b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0xc0))
    return IMS_NET_PRIVATE;
  return IMS_NET_PUBLIC;
}

static bool under(const char *host, size_t size, const char *domain) {
  size_t n = strlen(domain);
  return size >= n && ims_equal_fold_n(host + size - n, n, domain, n) && (size == n || host[size - n - 1] == '.');
}

int ims_net_class(const char *host, size_t size) {
  ims_address address;
  if (size && host[size - 1] == '.')
    size--;
  if (ims_address_parse(&address, host, size))
    return address.v6 ? class_v6(address.bytes) : class_v4(address.bytes);
  if (under(host, size, "localhost") || under(host, size, "localhost.localdomain"))
    return IMS_NET_LOOPBACK;
  if (!memchr(host, '.', size) || under(host, size, "local") || under(host, size, "internal") ||
      under(host, size, "home.arpa"))
    return IMS_NET_PRIVATE;
  return IMS_NET_PUBLIC;
}

static bool in_block(const ims_address *address, const char *block, size_t size) {
  const char *slash = memchr(block, '/', size);
  ims_address net;
  uint64_t bits;
  if (!slash || !ims_address_parse(&net, block, (size_t)(slash - block)) || net.v6 != address->v6)
    return false;
  if (!ims_parse_u64(slash + 1, size - (size_t)(slash - block) - 1, net.v6 ? 128 : 32, &bits))
    return false;
  size_t whole = (size_t)bits / 8;
  unsigned rest = (unsigned)bits % 8;
  if (memcmp(net.bytes, address->bytes, whole) != 0)
    return false;
  return !rest || ((net.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

/* Takes ":port" off an entry; false when the port is another one. */
static bool entry_port_fits(const char *entry, size_t *size, uint16_t port) {
  const char *colon = *size ? memrchr(entry, ':', *size) : NULL;
  uint64_t number;
  if (!colon || (memchr(entry, ':', (size_t)(colon - entry)) && colon[-1] != ']'))
    return true; /* no port, or a bare IPv6 address */
  if (!ims_parse_u64(colon + 1, *size - (size_t)(colon - entry) - 1, 65535, &number))
    return true;
  *size = (size_t)(colon - entry);
  return number == port;
}

static bool entry_matches(const char *entry, size_t size, const ims_url *url) {
  const char *host = url->text + url->host_at;
  ims_address a, b;
  if (size == 1 && entry[0] == '*')
    return true;
  bool literal = ims_address_parse(&a, host, url->host_size);
  if (memchr(entry, '/', size))
    return literal && in_block(&a, entry, size);
  if (!entry_port_fits(entry, &size, url->port))
    return false;
  if (literal)
    return ims_address_parse(&b, entry, size) && a.v6 == b.v6 && memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
  if (size && entry[0] == '*')
    entry++, size--;
  bool dotted = size && entry[0] == '.';
  if (dotted)
    entry++, size--;
  if (!size || url->host_size < size)
    return false;
  size_t before = url->host_size - size;
  if (!ims_equal_fold_n(host + before, size, entry, size))
    return false;
  return before == 0 ? !dotted : host[before - 1] == '.';
}

bool ims_no_proxy_matches(const char *no_proxy, const ims_url *url) {
  for (const char *at = no_proxy; at && *at;) {
    size_t size = strcspn(at, ", \t");
    if (size && entry_matches(at, size, url))
      return true;
    at += size;
    at += strspn(at, ", \t");
  }
  return false;
}
