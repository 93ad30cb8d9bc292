/*
 * cli.h - what every command shares: its description, the opened context and store, messages, exit status.
 *
 * The program is an example on top of the library: it uses the public headers and holds no logic that a caller of the
 * library would miss. It is the only place here that reads the environment, handles signals and prints.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>

#include "imgstore/imgstore.h"
#include "options.h"
#include "text.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 128 /* plus the signal's number */ };

typedef struct cli cli;

typedef struct command {
  const char *name;
  const char *alias;   /* or NULL */
  const char *usage;   /* after the name */
  const char *summary; /* one sentence without a full stop */
  const char *details; /* or NULL */
  const char *examples;
  const option_group *const *groups; /* ends with NULL */
  size_t min_words, max_words;
  size_t option_words; /* options come before this word; 0: anywhere */
  int (*run)(cli *c);  /* returns the exit status */
} command;

struct cli {
  const command *command;
  arguments args;
  text root; /* folder of the store */
  imgstore_context *context;
  imgstore_store *store;
  imgstore_rootfs_dir *rootfs_dir;
  bool json_messages; /* what goes to standard error is JSON lines */
};

/* One command, one file: command_ls is in cmd_ls.c. */
extern const command command_access, command_artifact, command_attach, command_build, command_bundle, command_catalog,
    command_commit, command_copy, command_create, command_delete, command_diff, command_du, command_export,
    command_history, command_import, command_index, command_inspect, command_load, command_login, command_logout,
    command_ls, command_mount, command_prune, command_pull, command_push, command_referrers, command_rm, command_run,
    command_save, command_sync, command_tag, command_tags, command_umount, command_unpack, command_verify;

/* Options that several commands have. */
extern const option_group group_bundle, group_global, group_policy, group_registry, group_unpack;

/* --- session.c -----------------------------------------------------------------------------------------------------
 */

/** Makes the context. Returns an exit status. */
int cli_open_context(cli *c);

/** STORE_LEASE: as WRITE where that is allowed, so that content is kept while it is read; else as READ. */
enum { STORE_CREATE, STORE_WRITE, STORE_LEASE, STORE_READ };
/** Makes the context and opens the store; all but STORE_CREATE leave c->store NULL when there is none. */
int cli_open_store(cli *c, int how);
/** As cli_open_store, but that there is no store is an error. */
int cli_need_store(cli *c, int how);
/** Frees what was opened. */
void cli_close(cli *c);

/** Finds an image; without a platform this machine's, or the first there is. Errors are not printed. */
int32_t cli_find_image(cli *c, const char *name, const char *platform, imgstore_image **image, imgstore_error **error);

/** Opens c->rootfs_dir, the rootfs directory beside the open store; all but STORE_CREATE leave it NULL when there is
 * none. Returns an exit status. */
int cli_open_rootfs_dir(cli *c, int how);
/** Opens the store and its rootfs directory for writing; create: makes both. Without them it says so: CLI_FAILED. */
int cli_need_rootfs_dir(cli *c, bool create);
/** Opens the store, its rootfs directory and the instance. Returns an exit status. */
int cli_open_rootfs(cli *c, const char *name, imgstore_rootfs **rootfs);

/* --- layer_dirs.c ---------------------------------------------------------------------------------------------------
 */

/** Removes what no image needs any more; prints it, adds its bytes to *total. */
int cli_prune_layer_dirs(cli *c, uint64_t *total);
/** The part of du about layer directories; nothing when there are none. */
int cli_print_layer_dirs(cli *c, bool json);

/* --- ls_instances.c --- */

/** ls --rootfs. */
int cli_list_rootfs(cli *c, bool json, bool quiet);

/* --- bundle_options.c -----------------------------------------------------------------------------------------------
 */

typedef struct bundle_settings {
  imgstore_bundle_options options; /* points to the lists */
  const char **env;
} bundle_settings;

/** Reads the options of group_bundle; args: the command, or none. false after a message: CLI_USAGE. */
bool cli_bundle_settings(cli *c, const char **args, size_t count, bundle_settings *settings);
void bundle_settings_free(bundle_settings *settings);

/* --- registry_options.c --------------------------------------------------------------------------------------------
 */

/** Sets *options from the command line. false after a message: CLI_USAGE. */
bool cli_registry_options(cli *c, imgstore_registry_options *options);
/** A handle on host with the options of the command line. Returns an exit status. */
int cli_open_registry(cli *c, const char *host, const imgstore_registry_options *options, imgstore_registry **registry);

/** The host that login and logout are about: the word that is given, else docker.io. false: out of memory. */
bool cli_login_host(const cli *c, text *host);

/* --- policy_options.c ----------------------------------------------------------------------------------------------
 */

/** The policy that the options of group_policy say; *policy NULL without one. Returns an exit status. */
int cli_open_policy(cli *c, imgstore_policy **policy);

/* --- verify_signatures.c --- */

/** verify of an image: its signatures, not the store. */
int cli_verify_image(cli *c);

/* --- unpack_options.c ----------------------------------------------------------------------------------------------
 */

typedef struct unpack_settings {
  imgstore_unpack_options options; /* points to the maps */
  imgstore_id_map *uid_map, *gid_map;
} unpack_settings;

/** Reads the options of group_unpack. false after a message: CLI_USAGE. */
bool cli_unpack_settings(cli *c, unpack_settings *settings);
void unpack_settings_free(unpack_settings *settings);
/** Says on standard error which entries were made otherwise than the image says; verbose: each of them. */
void cli_print_skipped(const imgstore_report *report, bool verbose);

/* --- messages.c ----------------------------------------------------------------------------------------------------
 */

/** Prints a message to standard error. The text is made safe to print. */
void cli_message(const cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** As cli_message, with a hint at --help. Returns CLI_USAGE. */
int cli_usage(const cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Prints what went wrong, frees and clears *error. Returns CLI_FAILED. */
int cli_failed(const cli *c, int32_t code, imgstore_error **error);
int cli_out_of_memory(const cli *c);
/** Whether standard error is a terminal that understands cursor movement. */
bool cli_is_terminal(void);
/** Whether standard error may be coloured: a terminal, and NO_COLOR is not set. */
bool cli_has_colour(void);
/** Flushes standard output; data that could not be written makes the status CLI_FAILED. */
int cli_finish_output(int status);

/* --- option_values.c -------------------------------------------------------------------------------------------------
 *
 * What an option says, checked. All leave *value alone when the option is not given; false after a message: CLI_USAGE.
 */

/** A word that an option takes and what it stands for. A table ends with word NULL. */
typedef struct choice {
  const char *word;
  int32_t value;
} choice;

bool cli_choice(const cli *c, int id, const choice *choices, int32_t *value);
/** The same for one of the words of an option that may be given again. */
bool cli_choose(const cli *c, int id, const char *word, const choice *choices, int32_t *value);
/** A number from least to most. */
bool cli_number(const cli *c, int id, uint64_t least, uint64_t most, uint64_t *value);
/** All values of an option that may be given again, in order; the caller frees *values. */
bool cli_values(const cli *c, int id, const char ***values, size_t *count);
/** --format table|json. */
bool cli_format(const cli *c, bool *json);
/** --format oci|docker: IMGSTORE_FORMAT_*. */
bool cli_image_format(const cli *c, int32_t *format);
/** --format docker-archive|oci-archive|oci-dir: IMGSTORE_ARCHIVE_*. */
bool cli_archive_format(const cli *c, int32_t *format);
/** --compression gzip|fast|zstd|none: IMGSTORE_COMPRESS_*. */
bool cli_compression(const cli *c, int32_t *compression);
/** --platform, and --all-platforms as all in *flags; they exclude each other. */
bool cli_platforms(const cli *c, uint32_t all, const char **platform, uint32_t *flags);

/** How new layers are made. */
typedef struct layer_settings {
  int32_t compression, level;
  uint32_t flags; /* IMGSTORE_BUILD_EPOCH, or 0 */
  int64_t epoch;
} layer_settings;

/** --compression, --level, and --timestamp or SOURCE_DATE_EPOCH. */
bool cli_layer_settings(const cli *c, layer_settings *settings);

/* --- names.c -------------------------------------------------------------------------------------------------------
 */

/** A stored name in the parts that people know. */
typedef struct familiar {
  text whole;      /* alpine:latest */
  text repository; /* alpine */
  text tag;        /* latest, or <none> */
} familiar;

/** Takes a stored name apart; one that is not a full name keeps its text as tag. */
void familiar_set(familiar *f, cli *c, const char *name);
void familiar_free(familiar *f);

#endif
