/*
 * tests/abi/layout.c - the layout of every public struct and the value of every public constant, as released: programs
 * have them compiled in. LP64 (x86-64, aarch64 and the like agree). Compiling this file is the test; layout.sh checks
 * that nothing is missing from it.
 *
 * Lines may be added, for members at the end of a struct (with its new size) and for new constants. A line whose
 * number changes is a break of the ABI and needs a new SONAME. Before the first release of 0.1 lines may still change.
 */
#include <imgstore/imgstore.h>

#define STRUCT(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define MEMBER(type, member, offset, bytes)                                                                            \
  _Static_assert(offsetof(type, member) == (offset) && sizeof(((type *)0)->member) == (bytes), #type "." #member)
#define VALUE(name, value) _Static_assert(name == (value), #name)

#if defined(__LP64__)

STRUCT(imgstore_allocator, 40);
MEMBER(imgstore_allocator, size, 0, 8);
MEMBER(imgstore_allocator, user_data, 8, 8);
MEMBER(imgstore_allocator, allocate, 16, 8);
MEMBER(imgstore_allocator, reallocate, 24, 8);
MEMBER(imgstore_allocator, release, 32, 8);

STRUCT(imgstore_context_options, 112);
MEMBER(imgstore_context_options, size, 0, 8);
MEMBER(imgstore_context_options, allocator, 8, 8);
MEMBER(imgstore_context_options, log, 16, 8);
MEMBER(imgstore_context_options, log_data, 24, 8);
MEMBER(imgstore_context_options, log_level, 32, 4);
MEMBER(imgstore_context_options, workers, 36, 4);
MEMBER(imgstore_context_options, max_manifest_bytes, 40, 8);
MEMBER(imgstore_context_options, max_config_bytes, 48, 8);
MEMBER(imgstore_context_options, max_layers, 56, 8);
MEMBER(imgstore_context_options, max_index_depth, 64, 8);
MEMBER(imgstore_context_options, max_layer_output, 72, 8);
MEMBER(imgstore_context_options, max_layer_ratio, 80, 8);
MEMBER(imgstore_context_options, max_layer_entries, 88, 8);
MEMBER(imgstore_context_options, max_path_depth, 96, 8);
MEMBER(imgstore_context_options, max_zstd_window, 104, 8);

STRUCT(imgstore_event, 48);
MEMBER(imgstore_event, size, 0, 8);
MEMBER(imgstore_event, type, 8, 4);
MEMBER(imgstore_event, object, 12, 4);
MEMBER(imgstore_event, digest, 16, 8);
MEMBER(imgstore_event, text, 24, 8);
MEMBER(imgstore_event, done, 32, 8);
MEMBER(imgstore_event, total, 40, 8);

STRUCT(imgstore_rootfs_dir_options, 16);
MEMBER(imgstore_rootfs_dir_options, size, 0, 8);
MEMBER(imgstore_rootfs_dir_options, flags, 8, 4);
MEMBER(imgstore_rootfs_dir_options, durability, 12, 4);

STRUCT(imgstore_layers_options, 56);
MEMBER(imgstore_layers_options, size, 0, 8);
MEMBER(imgstore_layers_options, flags, 8, 4);
MEMBER(imgstore_layers_options, overlay_form, 12, 4);
MEMBER(imgstore_layers_options, unpack, 16, 8);
MEMBER(imgstore_layers_options, max_bytes, 24, 8);
MEMBER(imgstore_layers_options, max_inodes, 32, 8);
MEMBER(imgstore_layers_options, progress, 40, 8);
MEMBER(imgstore_layers_options, progress_data, 48, 8);
STRUCT(imgstore_registry_job_options, 32);
MEMBER(imgstore_registry_job_options, size, 0, 8);
MEMBER(imgstore_registry_job_options, flags, 8, 4);
MEMBER(imgstore_registry_job_options, reserved, 12, 4);
MEMBER(imgstore_registry_job_options, progress, 16, 8);
MEMBER(imgstore_registry_job_options, progress_data, 24, 8);

STRUCT(imgstore_registry_options, 160);
MEMBER(imgstore_registry_options, size, 0, 8);
MEMBER(imgstore_registry_options, flags, 8, 4);
MEMBER(imgstore_registry_options, max_connections, 12, 4);
MEMBER(imgstore_registry_options, username, 16, 8);
MEMBER(imgstore_registry_options, password, 24, 8);
MEMBER(imgstore_registry_options, identity_token, 32, 8);
MEMBER(imgstore_registry_options, docker_config, 40, 8);
MEMBER(imgstore_registry_options, auth_file, 48, 8);
MEMBER(imgstore_registry_options, ca_file, 56, 8);
MEMBER(imgstore_registry_options, cert_file, 64, 8);
MEMBER(imgstore_registry_options, key_file, 72, 8);
MEMBER(imgstore_registry_options, certs_dir, 80, 8);
MEMBER(imgstore_registry_options, proxy, 88, 8);
MEMBER(imgstore_registry_options, no_proxy, 96, 8);
MEMBER(imgstore_registry_options, user_agent, 104, 8);
MEMBER(imgstore_registry_options, transport, 112, 8);
MEMBER(imgstore_registry_options, connect_timeout, 120, 4);
MEMBER(imgstore_registry_options, first_byte_timeout, 124, 4);
MEMBER(imgstore_registry_options, stall_window, 128, 4);
MEMBER(imgstore_registry_options, stall_bytes, 132, 4);
MEMBER(imgstore_registry_options, total_timeout, 136, 4);
MEMBER(imgstore_registry_options, retries, 140, 4);
MEMBER(imgstore_registry_options, retry_delay, 144, 4);
MEMBER(imgstore_registry_options, max_retry_delay, 148, 4);
MEMBER(imgstore_registry_options, max_redirects, 152, 4);

STRUCT(imgstore_id_map, 12);
MEMBER(imgstore_id_map, inside, 0, 4);
MEMBER(imgstore_id_map, outside, 4, 4);
MEMBER(imgstore_id_map, count, 8, 4);

STRUCT(imgstore_unpack_options, 72);
MEMBER(imgstore_unpack_options, size, 0, 8);
MEMBER(imgstore_unpack_options, flags, 8, 4);
MEMBER(imgstore_unpack_options, owner_policy, 12, 4);
MEMBER(imgstore_unpack_options, device_policy, 16, 4);
MEMBER(imgstore_unpack_options, xattr_policy, 20, 4);
MEMBER(imgstore_unpack_options, uid_map, 24, 8);
MEMBER(imgstore_unpack_options, uid_map_count, 32, 8);
MEMBER(imgstore_unpack_options, gid_map, 40, 8);
MEMBER(imgstore_unpack_options, gid_map_count, 48, 8);
MEMBER(imgstore_unpack_options, progress, 56, 8);
MEMBER(imgstore_unpack_options, progress_data, 64, 8);

STRUCT(imgstore_storage, 256);
MEMBER(imgstore_storage, size, 0, 8);
MEMBER(imgstore_storage, user_data, 8, 8);
MEMBER(imgstore_storage, flags, 16, 4);
MEMBER(imgstore_storage, reserved, 20, 4);
MEMBER(imgstore_storage, blob_open, 24, 8);
MEMBER(imgstore_storage, blob_read, 32, 8);
MEMBER(imgstore_storage, blob_fd, 40, 8);
MEMBER(imgstore_storage, blob_close, 48, 8);
MEMBER(imgstore_storage, blob_is_verified, 56, 8);
MEMBER(imgstore_storage, blob_set_verified, 64, 8);
MEMBER(imgstore_storage, blob_quarantine, 72, 8);
MEMBER(imgstore_storage, blob_delete, 80, 8);
MEMBER(imgstore_storage, blob_list, 88, 8);
MEMBER(imgstore_storage, ingest_open, 96, 8);
MEMBER(imgstore_storage, ingest_read, 104, 8);
MEMBER(imgstore_storage, ingest_write, 112, 8);
MEMBER(imgstore_storage, ingest_flush, 120, 8);
MEMBER(imgstore_storage, ingest_commit, 128, 8);
MEMBER(imgstore_storage, ingest_close, 136, 8);
MEMBER(imgstore_storage, barrier, 144, 8);
MEMBER(imgstore_storage, reference_get, 152, 8);
MEMBER(imgstore_storage, reference_set, 160, 8);
MEMBER(imgstore_storage, reference_list, 168, 8);
MEMBER(imgstore_storage, lease_open, 176, 8);
MEMBER(imgstore_storage, lease_add, 184, 8);
MEMBER(imgstore_storage, lease_close, 192, 8);
MEMBER(imgstore_storage, lease_list, 200, 8);
MEMBER(imgstore_storage, lock, 208, 8);
MEMBER(imgstore_storage, unlock, 216, 8);
MEMBER(imgstore_storage, destroy, 224, 8);
MEMBER(imgstore_storage, ingest_sweep, 232, 8);
MEMBER(imgstore_storage, ingest_create, 240, 8);
MEMBER(imgstore_storage, ingest_name, 248, 8);

STRUCT(imgstore_store_options, 16);
MEMBER(imgstore_store_options, size, 0, 8);
MEMBER(imgstore_store_options, flags, 8, 4);
MEMBER(imgstore_store_options, durability, 12, 4);

STRUCT(imgstore_pull_options, 56);
MEMBER(imgstore_pull_options, size, 0, 8);
MEMBER(imgstore_pull_options, flags, 8, 4);
MEMBER(imgstore_pull_options, reserved, 12, 4);
MEMBER(imgstore_pull_options, platform, 16, 8);
MEMBER(imgstore_pull_options, unpack_to, 24, 8);
MEMBER(imgstore_pull_options, unpack, 32, 8);
MEMBER(imgstore_pull_options, progress, 40, 8);
MEMBER(imgstore_pull_options, progress_data, 48, 8);

STRUCT(imgstore_save_options, 64);
MEMBER(imgstore_save_options, size, 0, 8);
MEMBER(imgstore_save_options, flags, 8, 4);
MEMBER(imgstore_save_options, format, 12, 4);
MEMBER(imgstore_save_options, platform, 16, 8);
MEMBER(imgstore_save_options, fd, 24, 4);
MEMBER(imgstore_save_options, reserved, 28, 4);
MEMBER(imgstore_save_options, write, 32, 8);
MEMBER(imgstore_save_options, write_data, 40, 8);
MEMBER(imgstore_save_options, progress, 48, 8);
MEMBER(imgstore_save_options, progress_data, 56, 8);

STRUCT(imgstore_load_options, 48);
MEMBER(imgstore_load_options, size, 0, 8);
MEMBER(imgstore_load_options, name, 8, 8);
MEMBER(imgstore_load_options, rename, 16, 8);
MEMBER(imgstore_load_options, platform, 24, 8);
MEMBER(imgstore_load_options, progress, 32, 8);
MEMBER(imgstore_load_options, progress_data, 40, 8);

STRUCT(imgstore_copy_options, 64);
MEMBER(imgstore_copy_options, size, 0, 8);
MEMBER(imgstore_copy_options, flags, 8, 4);
MEMBER(imgstore_copy_options, reserved, 12, 4);
MEMBER(imgstore_copy_options, platform, 16, 8);
MEMBER(imgstore_copy_options, chunk_size, 24, 8);
MEMBER(imgstore_copy_options, mount_from, 32, 8);
MEMBER(imgstore_copy_options, mount_count, 40, 8);
MEMBER(imgstore_copy_options, progress, 48, 8);
MEMBER(imgstore_copy_options, progress_data, 56, 8);

STRUCT(imgstore_place, 40);
MEMBER(imgstore_place, size, 0, 8);
MEMBER(imgstore_place, flags, 8, 4);
MEMBER(imgstore_place, reserved, 12, 4);
MEMBER(imgstore_place, registry, 16, 8);
MEMBER(imgstore_place, store, 24, 8);
MEMBER(imgstore_place, name, 32, 8);

STRUCT(imgstore_push_options, 72);
MEMBER(imgstore_push_options, size, 0, 8);
MEMBER(imgstore_push_options, flags, 8, 4);
MEMBER(imgstore_push_options, reserved, 12, 4);
MEMBER(imgstore_push_options, destination, 16, 8);
MEMBER(imgstore_push_options, platform, 24, 8);
MEMBER(imgstore_push_options, chunk_size, 32, 8);
MEMBER(imgstore_push_options, mount_from, 40, 8);
MEMBER(imgstore_push_options, mount_count, 48, 8);
MEMBER(imgstore_push_options, progress, 56, 8);
MEMBER(imgstore_push_options, progress_data, 64, 8);

STRUCT(imgstore_transport, 72);
MEMBER(imgstore_transport, size, 0, 8);
MEMBER(imgstore_transport, user_data, 8, 8);
MEMBER(imgstore_transport, start, 16, 8);
MEMBER(imgstore_transport, resume, 24, 8);
MEMBER(imgstore_transport, perform, 32, 8);
MEMBER(imgstore_transport, poll_fd, 40, 8);
MEMBER(imgstore_transport, timeout, 48, 8);
MEMBER(imgstore_transport, close, 56, 8);
MEMBER(imgstore_transport, destroy, 64, 8);

#endif

VALUE(IMGSTORE_LOG_ERROR, 1);
VALUE(IMGSTORE_LOG_WARNING, 2);
VALUE(IMGSTORE_LOG_INFO, 3);
VALUE(IMGSTORE_LOG_DEBUG, 4);
VALUE(IMGSTORE_OK, 0);
VALUE(IMGSTORE_EINVALID, -1);
VALUE(IMGSTORE_ENOMEM, -2);
VALUE(IMGSTORE_ENOTFOUND, -3);
VALUE(IMGSTORE_EEXISTS, -4);
VALUE(IMGSTORE_EUNAUTHORIZED, -5);
VALUE(IMGSTORE_EDENIED, -6);
VALUE(IMGSTORE_EDIGEST, -7);
VALUE(IMGSTORE_ETOOMANY, -8);
VALUE(IMGSTORE_EUNSUPPORTED, -9);
VALUE(IMGSTORE_ELIMIT, -10);
VALUE(IMGSTORE_EBUSY, -11);
VALUE(IMGSTORE_ECANCELLED, -12);
VALUE(IMGSTORE_EAGAIN, -13);
VALUE(IMGSTORE_ECORRUPT, -14);
VALUE(IMGSTORE_ENOSPACE, -15);
VALUE(IMGSTORE_EIO, -16);
VALUE(IMGSTORE_ENETWORK, -17);
VALUE(IMGSTORE_ETLS, -18);
VALUE(IMGSTORE_ETIMEOUT, -19);
VALUE(IMGSTORE_EPROTOCOL, -20);
VALUE(IMGSTORE_ECALLBACK, -21);
VALUE(IMGSTORE_EAMBIGUOUS, -22);
VALUE(IMGSTORE_ECONFLICT, -23);
VALUE(IMGSTORE_EACCESS, -24);
VALUE(IMGSTORE_EFORMAT, -25);
VALUE(IMGSTORE_IMAGE_CREATED, 1);
VALUE(IMGSTORE_IMAGE_AUTHOR, 2);
VALUE(IMGSTORE_IMAGE_OS, 3);
VALUE(IMGSTORE_IMAGE_ARCHITECTURE, 4);
VALUE(IMGSTORE_IMAGE_VARIANT, 5);
VALUE(IMGSTORE_IMAGE_OS_VERSION, 6);
VALUE(IMGSTORE_IMAGE_USER, 7);
VALUE(IMGSTORE_IMAGE_WORKING_DIR, 8);
VALUE(IMGSTORE_IMAGE_STOP_SIGNAL, 9);
VALUE(IMGSTORE_IMAGE_COMMENT, 10);
VALUE(IMGSTORE_IMAGE_DOCKER_VERSION, 11);
VALUE(IMGSTORE_IMAGE_ENV, 1);
VALUE(IMGSTORE_IMAGE_ENTRYPOINT, 2);
VALUE(IMGSTORE_IMAGE_CMD, 3);
VALUE(IMGSTORE_IMAGE_PORTS, 4);
VALUE(IMGSTORE_IMAGE_VOLUMES, 5);
VALUE(IMGSTORE_IMAGE_LABELS, 6);
VALUE(IMGSTORE_IMAGE_SHELL, 7);
VALUE(IMGSTORE_IMAGE_ONBUILD, 8);
VALUE(IMGSTORE_HISTORY_CREATED, 1);
VALUE(IMGSTORE_HISTORY_CREATED_BY, 2);
VALUE(IMGSTORE_HISTORY_AUTHOR, 3);
VALUE(IMGSTORE_HISTORY_COMMENT, 4);
VALUE(IMGSTORE_LAYER_RAW, 0);
VALUE(IMGSTORE_LAYER_UNCOMPRESSED, 1);
VALUE(IMGSTORE_FILE_REGULAR, 1);
VALUE(IMGSTORE_FILE_DIRECTORY, 2);
VALUE(IMGSTORE_FILE_SYMLINK, 3);
VALUE(IMGSTORE_FILE_HARDLINK, 4);
VALUE(IMGSTORE_FILE_CHAR_DEVICE, 5);
VALUE(IMGSTORE_FILE_BLOCK_DEVICE, 6);
VALUE(IMGSTORE_FILE_FIFO, 7);
VALUE(IMGSTORE_FILE_WHITEOUT, 8);
VALUE(IMGSTORE_FILE_OPAQUE, 9);
VALUE(IMGSTORE_MANIFEST_IMAGE, 1);
VALUE(IMGSTORE_MANIFEST_INDEX, 2);
VALUE(IMGSTORE_MANIFEST_ARTIFACT, 3);
VALUE(IMGSTORE_EVENT_RESOLVED, 1);
VALUE(IMGSTORE_EVENT_WAITING, 2);
VALUE(IMGSTORE_EVENT_EXISTS, 3);
VALUE(IMGSTORE_EVENT_DOWNLOADING, 4);
VALUE(IMGSTORE_EVENT_DOWNLOADED, 5);
VALUE(IMGSTORE_EVENT_UNPACKING, 6);
VALUE(IMGSTORE_EVENT_COMPLETE, 7);
VALUE(IMGSTORE_EVENT_RETRY, 8);
VALUE(IMGSTORE_EVENT_WARNING, 9);
VALUE(IMGSTORE_EVENT_RATE_LIMIT, 10);
VALUE(IMGSTORE_EVENT_FLUSHING, 11);
VALUE(IMGSTORE_EVENT_COMMITTED, 12);
VALUE(IMGSTORE_EVENT_PREPARING, 13);
VALUE(IMGSTORE_EVENT_UPLOADING, 14);
VALUE(IMGSTORE_EVENT_UPLOADED, 15);
VALUE(IMGSTORE_EVENT_MOUNTED, 16);
VALUE(IMGSTORE_OBJECT_NONE, 0);
VALUE(IMGSTORE_OBJECT_INDEX, 1);
VALUE(IMGSTORE_OBJECT_MANIFEST, 2);
VALUE(IMGSTORE_OBJECT_CONFIG, 3);
VALUE(IMGSTORE_OBJECT_LAYER, 4);
VALUE(IMGSTORE_REGISTRY_PLAIN_HTTP, 1);
VALUE(IMGSTORE_REGISTRY_INSECURE_TLS, 2);
VALUE(IMGSTORE_REGISTRY_USE_ENVIRONMENT, 4);
VALUE(IMGSTORE_REGISTRY_FOREIGN_URLS, 8);
VALUE(IMGSTORE_DELETE_MANIFEST, 1);
VALUE(IMGSTORE_ACCESS_PULL, 1);
VALUE(IMGSTORE_ACCESS_PUSH, 2);
VALUE(IMGSTORE_ACCESS_DELETE, 4);
VALUE(IMGSTORE_MIRROR_DIGEST_ONLY, 1);
VALUE(IMGSTORE_MIRROR_PLAIN_HTTP, 2);
VALUE(IMGSTORE_MIRROR_INSECURE_TLS, 4);
VALUE(IMGSTORE_REPORT_TAG, 1);
VALUE(IMGSTORE_REPORT_UNTAGGED, 2);
VALUE(IMGSTORE_REPORT_DELETED, 3);
VALUE(IMGSTORE_REPORT_DAMAGED, 4);
VALUE(IMGSTORE_REPORT_MISSING, 5);
VALUE(IMGSTORE_REPORT_AFFECTED, 6);
VALUE(IMGSTORE_REPORT_QUARANTINED, 7);
VALUE(IMGSTORE_REPORT_REPAIRED, 8);
VALUE(IMGSTORE_REPORT_FOREIGN, 9);
VALUE(IMGSTORE_REPORT_SKIPPED, 10);
VALUE(IMGSTORE_REPORT_USAGE, 11);
VALUE(IMGSTORE_REPORT_REPOSITORY, 12);
VALUE(IMGSTORE_REPORT_ACCESS, 13);
VALUE(IMGSTORE_REPORT_PUBLISHED, 20);
VALUE(IMGSTORE_REPORT_SENT, 21);
VALUE(IMGSTORE_REPORT_PRESENT, 22);
VALUE(IMGSTORE_REPORT_MOUNTED, 23);
VALUE(IMGSTORE_PUSH_DRY_RUN, 1);
VALUE(IMGSTORE_COPY_DRY_RUN, 2);
VALUE(IMGSTORE_COPY_ALL_PLATFORMS, 1);
VALUE(IMGSTORE_PLACE_PLAIN_NAME, 1);
VALUE(IMGSTORE_POLICY_DEFAULT, 0);
VALUE(IMGSTORE_POLICY_ERROR, 1);
VALUE(IMGSTORE_POLICY_SKIP, 2);
VALUE(IMGSTORE_POLICY_RECORD, 3);
VALUE(IMGSTORE_UNPACK_STRICT_XATTRS, 1);
VALUE(IMGSTORE_UNPACK_FLUSH, 2);
VALUE(IMGSTORE_ROOTFS_DIR_READ_ONLY, 1);
VALUE(IMGSTORE_ROOTFS_DIR_NO_CREATE, 2);
VALUE(IMGSTORE_OVERLAY_DEFAULT, 0);
VALUE(IMGSTORE_OVERLAY_TRUSTED, 1);
VALUE(IMGSTORE_OVERLAY_USER, 2);
VALUE(IMGSTORE_STORAGE_CONCURRENT, 1);
VALUE(IMGSTORE_DURABILITY_BATCH, 0);
VALUE(IMGSTORE_DURABILITY_BLOB, 1);
VALUE(IMGSTORE_DURABILITY_NONE, 2);
VALUE(IMGSTORE_STORE_READ_ONLY, 1);
VALUE(IMGSTORE_STORE_NO_CREATE, 2);
VALUE(IMGSTORE_REMOVE_KEEP_CONTENT, 1);
VALUE(IMGSTORE_REMOVE_ALL_NAMES, 2);
VALUE(IMGSTORE_VERIFY_QUICK, 0);
VALUE(IMGSTORE_VERIFY_FULL, 1);
VALUE(IMGSTORE_VERIFY_REPAIR, 2);
VALUE(IMGSTORE_PULL_ALL_PLATFORMS, 1);
VALUE(IMGSTORE_ARCHIVE_AUTO, 0);
VALUE(IMGSTORE_ARCHIVE_DOCKER, 1);
VALUE(IMGSTORE_ARCHIVE_OCI, 2);
VALUE(IMGSTORE_ARCHIVE_OCI_DIR, 3);
VALUE(IMGSTORE_SAVE_ALL_PLATFORMS, 1);
VALUE(IMGSTORE_SAVE_UNCOMPRESSED, 2);
VALUE(IMGSTORE_EXCHANGE_CA_FILE, 1);
VALUE(IMGSTORE_EXCHANGE_CERT_FILE, 2);
VALUE(IMGSTORE_EXCHANGE_KEY_FILE, 3);
VALUE(IMGSTORE_EXCHANGE_PROXY, 4);
VALUE(IMGSTORE_EXCHANGE_USER_AGENT, 5);
VALUE(IMGSTORE_FORMAT_OCI, 0);
VALUE(IMGSTORE_FORMAT_DOCKER, 1);
VALUE(IMGSTORE_INDEX_REPLACE, 1);

int main(void) {
  return 0;
}
