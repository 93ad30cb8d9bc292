/*
 * imgstore/registry.h - a handle on one remote registry, and what is there: tags, repositories, rights.
 *
 * The handle carries the host, its credentials, TLS and proxy settings, mirrors, time limits and the
 * transport. It keeps connections and bearer tokens between operations. Secrets are never logged, never
 * part of an error, never sent to another origin, and are wiped when freed.
 * Sources: distribution-spec 1.1, the Docker registry v2 token flow, RFC 9110, 6750, 8288.
 */
#ifndef IMGSTORE_REGISTRY_H
#define IMGSTORE_REGISTRY_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /** Speak http. Without it: https, except that a loopback host that speaks no TLS at all is spoken to in http. */
  IMGSTORE_REGISTRY_PLAIN_HTTP = 1u << 0,
  /** Do not check certificates. */
  IMGSTORE_REGISTRY_INSECURE_TLS = 1u << 1,
  /** Take proxies from http_proxy, https_proxy, all_proxy, no_proxy (also in capitals, but for HTTP_PROXY), and
      credentials, after the files below, from the environment's: config.json in $DOCKER_CONFIG or $HOME/.docker, then
      $REGISTRY_AUTH_FILE, or without it $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID/auth.json without
      that variable) and $HOME/.config/containers/auth.json. */
  IMGSTORE_REGISTRY_USE_ENVIRONMENT = 1u << 2,
  /** Follow the "urls" of foreign layers (never authenticated). */
  IMGSTORE_REGISTRY_FOREIGN_URLS = 1u << 3
};

enum {
  /** The mirror is asked for blobs and manifests by digest only, never for tags. */
  IMGSTORE_MIRROR_DIGEST_ONLY = 1u << 0,
  IMGSTORE_MIRROR_PLAIN_HTTP = 1u << 1,
  IMGSTORE_MIRROR_INSECURE_TLS = 1u << 2
};

/** Options of a registry. All strings are copied; NULL means not given. */
typedef struct imgstore_registry_options {
  size_t size;
  uint32_t flags;           /**< IMGSTORE_REGISTRY_* */
  uint32_t max_connections; /**< connections to one host, 1..64; default 4 */
  const char *username;     /**< with password; tried before any file */
  const char *password;
  const char *identity_token;          /**< OAuth2 refresh token instead of username and password */
  const char *docker_config;           /**< folder of a Docker config.json (auths, credHelpers, credsStore) */
  const char *auth_file;               /**< a containers auth.json */
  const char *ca_file;                 /**< PEM file or folder of *.crt; trusted in place of the system's authorities */
  const char *cert_file;               /**< PEM client certificate */
  const char *key_file;                /**< PEM client key */
  const char *certs_dir;               /**< folder in certs.d layout: HOST[:PORT]/{*.crt,*.cert,*.key} */
  const char *proxy;                   /**< proxy URL for every request but to no_proxy; "" forces none */
  const char *no_proxy;                /**< comma-separated hosts and .domains */
  const char *user_agent;              /**< default "imgstore/VERSION" */
  const imgstore_transport *transport; /**< NULL: libcurl. Copied; destroy() is called when the registry is freed, not
                                          when it could not be made. All operations of the registry share it: run them
                                          on one thread. */
  uint32_t connect_timeout;            /**< ms for name look-up, connect, TLS; default 30000 */
  uint32_t first_byte_timeout;         /**< ms from request to status line; default (also for 0) 60000 */
  uint32_t stall_window;               /**< ms; default (also for 0) 30000 */
  uint32_t stall_bytes;                /**< fewer body bytes than this in stall_window is a stall; default 1024 */
  uint32_t total_timeout;              /**< ms for a whole operation; 0 (default): none */
  uint32_t retries;         /**< tries again without progress before giving up; default 5, at most 1 on a mirror */
  uint32_t retry_delay;     /**< first back-off in ms, doubled and jittered after; default 500 */
  uint32_t max_retry_delay; /**< ceiling of a back-off and of an honoured Retry-After, ms; default 60000 */
  uint32_t max_redirects;   /**< default 10 */
} imgstore_registry_options;

/** Fills *options with the defaults. size: sizeof(imgstore_registry_options) of the caller. */
IMGSTORE_API int32_t imgstore_registry_options_init(imgstore_registry_options *options, size_t size);

/**
 * Makes a handle; nothing is sent.
 * host: HOST[:PORT] as in a reference ("docker.io", "localhost:5000", "[::1]:5000"). options: NULL for defaults.
 * Credential files are read when the registry first demands credentials: a broken one fails that operation with
 * IMGSTORE_EFORMAT and is named.
 * Errors: IMGSTORE_EINVALID, IMGSTORE_EFORMAT (host, or certs_dir), IMGSTORE_EUNSUPPORTED, IMGSTORE_ELIMIT,
 * IMGSTORE_EACCESS, IMGSTORE_EIO, IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_registry_new(imgstore_context *context, const char *host,
                                           const imgstore_registry_options *options, imgstore_registry **registry,
                                           imgstore_error **error);
/** Frees the handle; an operation that uses it keeps what it needs. */
IMGSTORE_API void imgstore_registry_free(imgstore_registry *registry);
/** The host as given. */
IMGSTORE_API const char *imgstore_registry_host(const imgstore_registry *registry);

/**
 * Adds a mirror, tried in the order added before the registry itself; at most 16. Credentials are looked up for the
 * mirror's own host in the same files; explicit credentials of the registry are not sent to it.
 *
 * host: HOST[:PORT][/PREFIX]; flags: IMGSTORE_MIRROR_*.
 * Errors: IMGSTORE_EFORMAT, IMGSTORE_EINVALID, IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_registry_add_mirror(imgstore_registry *registry, const char *host, uint32_t flags,
                                                  imgstore_error **error);

/**
 * Checks that the registry answers and takes the credentials (GET /v2/). What `login` does before it stores them.
 * Blocks. Errors: IMGSTORE_EUNAUTHORIZED, IMGSTORE_EDENIED, and those of the network.
 */
IMGSTORE_API int32_t imgstore_registry_check(imgstore_registry *registry, imgstore_error **error);

enum {
  /** Where a registry deletes no single tags: delete the manifest, and with it every tag that names it. */
  IMGSTORE_DELETE_MANIFEST = 1u << 0
};

/** Options of the jobs below. */
typedef struct imgstore_registry_job_options {
  size_t size;
  uint32_t flags;             /**< of a deletion: IMGSTORE_DELETE_*; else 0 */
  uint32_t reserved;          /**< 0 */
  imgstore_event_fn progress; /**< hears of retries, warnings and rate limits; or NULL */
  void *progress_data;
} imgstore_registry_job_options;

/** Fills *options with the defaults. size: sizeof(imgstore_registry_job_options) of the caller. */
IMGSTORE_API int32_t imgstore_registry_job_options_init(imgstore_registry_job_options *options, size_t size);

/**
 * Lists the tags of a repository (distribution-spec, "Listing Tags"), following pagination, duplicates dropped,
 * in the registry's order. Blocks; the registry is asked itself, never a mirror.
 * repository: such as "library/alpine". tags: a report with one IMGSTORE_REPORT_TAG line per tag, freed by the caller.
 * Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EUNAUTHORIZED, IMGSTORE_EDENIED, IMGSTORE_EFORMAT (something in the list is no
 * tag), IMGSTORE_ELIMIT (more than a million tags, a page over 16 MiB), network.
 */
IMGSTORE_API int32_t imgstore_registry_tags(imgstore_registry *registry, const char *repository, imgstore_report **tags,
                                            imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the tags. options: NULL for defaults. */
IMGSTORE_API int32_t imgstore_registry_tags_start(imgstore_registry *registry, const char *repository,
                                                  const imgstore_registry_job_options *options,
                                                  imgstore_operation **operation, imgstore_error **error);

/**
 * Lists the repositories of a registry (GET /v2/_catalog of the Docker registry; the distribution-spec has no such
 * call), as tags are listed. Blocks.
 * repositories: a report with one IMGSTORE_REPORT_REPOSITORY line each, freed by the caller. A registry may show only
 * what the login may see. Errors: IMGSTORE_EUNSUPPORTED (this registry does not list them), and as for tags.
 */
IMGSTORE_API int32_t imgstore_registry_catalog(imgstore_registry *registry, imgstore_report **repositories,
                                               imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the repositories. options: NULL for defaults. */
IMGSTORE_API int32_t imgstore_registry_catalog_start(imgstore_registry *registry,
                                                     const imgstore_registry_job_options *options,
                                                     imgstore_operation **operation, imgstore_error **error);

/**
 * Deletes a tag or, by digest, a manifest with every tag that names it (distribution-spec, "Deleting tags",
 * "Deleting Manifests"). Blobs stay until the registry collects them; what an index lists is not deleted with it.
 *
 * reference: a tag, or a digest such as "sha256:...". options: NULL for defaults. A tag is deleted as a tag. Many
 * registries cannot do that: then nothing is deleted and the error says so, unless IMGSTORE_DELETE_MANIFEST allows to
 * delete the manifest that the tag names at that moment. report: an IMGSTORE_REPORT_UNTAGGED line for the tag, with the
 * digest when it went that way, an IMGSTORE_REPORT_DELETED line for the manifest; freed by the caller; NULL when not
 * wanted. Blocks.
 * Errors: IMGSTORE_EFORMAT (repository, reference), IMGSTORE_ENOTFOUND, IMGSTORE_EUNSUPPORTED (the registry does not
 * allow deleting, or not a tag alone), IMGSTORE_EUNAUTHORIZED, IMGSTORE_EDENIED, network.
 */
IMGSTORE_API int32_t imgstore_registry_delete(imgstore_registry *registry, const char *repository,
                                              const char *reference, const imgstore_registry_job_options *options,
                                              imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines. */
IMGSTORE_API int32_t imgstore_registry_delete_start(imgstore_registry *registry, const char *repository,
                                                    const char *reference, const imgstore_registry_job_options *options,
                                                    imgstore_operation **operation, imgstore_error **error);

/**
 * Gives a manifest or index of a repository one more tag: the same bytes are put back under it, so the digest stays.
 * A tag that is taken moves.
 * reference: a tag or digest; tag: the new one. options: NULL for defaults. report: an IMGSTORE_REPORT_TAG line with
 * tag and digest, freed by the caller, or NULL when not wanted. Blocks. Errors: IMGSTORE_EFORMAT, IMGSTORE_ENOTFOUND,
 * IMGSTORE_EDIGEST, IMGSTORE_ELIMIT, IMGSTORE_EUNAUTHORIZED, IMGSTORE_EDENIED, IMGSTORE_ECONFLICT or IMGSTORE_EPROTOCOL
 * (the registry refuses in its own words, such as for a tag that may not change), network.
 */
IMGSTORE_API int32_t imgstore_registry_copy_tag(imgstore_registry *registry, const char *repository,
                                                const char *reference, const char *tag,
                                                const imgstore_registry_job_options *options, imgstore_report **report,
                                                imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the line. */
IMGSTORE_API int32_t imgstore_registry_copy_tag_start(imgstore_registry *registry, const char *repository,
                                                      const char *reference, const char *tag,
                                                      const imgstore_registry_job_options *options,
                                                      imgstore_operation **operation, imgstore_error **error);

enum { IMGSTORE_ACCESS_PULL = 1u << 0, IMGSTORE_ACCESS_PUSH = 1u << 1, IMGSTORE_ACCESS_DELETE = 1u << 2 };

/**
 * Finds out what the login may do with a repository, before a long job does. Advice, not a promise: the registry
 * decides anew with each request. Blocks.
 *
 * wanted: IMGSTORE_ACCESS_* to look into; *granted: those of them that are allowed. A token service is asked for all of
 * them at once and its token read, where it tells its rights. Otherwise each is tried in a way that changes nothing:
 * listing tags, an upload that is given up at once, the deletion of a manifest that cannot exist. options: NULL for
 * defaults. report: one IMGSTORE_REPORT_ACCESS line per right, freed by the caller, or NULL when not wanted.
 * A repository that does not exist yet counts as one that may be pulled.
 * Errors: IMGSTORE_EUNAUTHORIZED (nothing is granted, and the registry wants other credentials), IMGSTORE_EINVALID
 * (wanted), IMGSTORE_EFORMAT, network.
 */
IMGSTORE_API int32_t imgstore_registry_access(imgstore_registry *registry, const char *repository, uint32_t wanted,
                                              const imgstore_registry_job_options *options, uint32_t *granted,
                                              imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines. */
IMGSTORE_API int32_t imgstore_registry_access_start(imgstore_registry *registry, const char *repository,
                                                    uint32_t wanted, const imgstore_registry_job_options *options,
                                                    imgstore_operation **operation, imgstore_error **error);

/**
 * Stores credentials for host where Docker keeps them: through the credential helper that the configuration names,
 * else in the file. directory: folder of config.json, created 0700 when missing; NULL: as the environment says.
 * identity_token: instead of username and password, or NULL.
 * Errors: IMGSTORE_EFORMAT (the file is not what it should be; it is left alone), IMGSTORE_EACCESS, IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_credentials_store(imgstore_context *context, const char *directory, const char *host,
                                                const char *username, const char *password, const char *identity_token,
                                                imgstore_error **error);
/** Removes the credentials of host. Errors: IMGSTORE_ENOTFOUND when there were none, and as for storing. */
IMGSTORE_API int32_t imgstore_credentials_erase(imgstore_context *context, const char *directory, const char *host,
                                                imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
