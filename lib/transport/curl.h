/*
 * transport/curl.h (L3) - the built-in transport.
 */
#ifndef IMS_TRANSPORT_CURL_H
#define IMS_TRANSPORT_CURL_H

#include "base/core.h"
#include "base/error.h"
#include "imgstore/transport.h"

/** Fills *transport with libcurl's: one multi handle driven by socket_action, one pollable descriptor. */
int32_t ims_curl_transport_open(ims_core *core, uint32_t max_connections, imgstore_transport *transport,
                                ims_error *err);
/** Runs a transport without optional entries as well: checks that the required ones are there, fills *complete. */
int32_t ims_transport_check(const imgstore_transport *given, imgstore_transport *complete, ims_error *err);

#endif
