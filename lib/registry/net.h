/*
 * registry/net.h (L2) - literal IP addresses as text: every spelling that resolvers take, and prefixes.
 */
#ifndef IMS_REGISTRY_NET_H
#define IMS_REGISTRY_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ims_address {
  bool v6;
  uint8_t bytes[16]; /**< 4 or 16 of them */
} ims_address;

/** IPv4 as inet_aton reads it ("127.1", "0x7f000001", "017700000001"), IPv6 with or without brackets. */
bool ims_address_parse(ims_address *address, const char *text, size_t size);
/** True when the last label of a host is a number: such a host is an IPv4 address or nothing (WHATWG URL). */
bool ims_host_ends_in_number(const char *host, size_t size);

#endif
