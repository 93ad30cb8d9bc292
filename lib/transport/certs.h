/*
 * transport/certs.h (L3) - the certs.d layout: a folder per registry with its authorities and a client certificate.
 */
#ifndef IMS_TRANSPORT_CERTS_H
#define IMS_TRANSPORT_CERTS_H

#include <stdbool.h>

#include "base/core.h"
#include "base/error.h"

/**
 * Looks into certs_dir/host, host being HOST[:PORT]. *.crt are authorities, NAME.cert with NAME.key a client
 * certificate; the first pair in the order of names counts. *ca_file is the one .crt, or the folder when there are
 * several (see ims_certs_read). What is not there is NULL; so is everything when there is no such folder. The strings
 * are freed with ims_free. Errors: IMGSTORE_EFORMAT (a .cert without .key or the other way round), _EACCES, _EIO,
 * _ENOMEM.
 */
int32_t ims_certs_find(ims_core *core, const char *certs_dir, const char *host, char **ca_file, char **cert_file,
                       char **key_file, ims_error *err);
/**
 * The authorities of a folder, all *.crt one after the other, as PEM text. *pem is NULL when path is no folder: a file
 * is for the TLS library to read. Freed with ims_free. Errors: IMGSTORE_ELIMIT (over 4 MiB), _EACCES, _EIO, _ENOMEM.
 */
int32_t ims_certs_read(ims_core *core, const char *path, char **pem, size_t *size, ims_error *err);
/** Whether a folder of authorities has names by which they are looked up ("1d3472b9.0"). */
bool ims_certs_is_hashed(const char *path);

#endif
