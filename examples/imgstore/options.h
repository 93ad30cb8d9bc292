/*
 * options.h - the command line: tables of options, and what was given.
 *
 * Options may stand anywhere, before or after the other arguments, as --name=value, --name value, -n value or -nvalue;
 * flags of one letter may be joined; "--" ends the options.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct option {
  int id;
  char letter;       /* 0: none */
  const char *name;  /* NULL ends a table */
  const char *value; /* what the help calls its value; NULL: a flag */
  const char *help;
} option;

typedef struct option_group {
  const char *title;
  const option *options;
} option_group;

/** Every option of the program has its own id. */
enum {
  OPTION_ROOT = 1,
  OPTION_WORKERS,
  OPTION_DEBUG,
  OPTION_HELP,
  OPTION_VERSION,
  OPTION_PLATFORM,
  OPTION_ALL_PLATFORMS,
  OPTION_QUIET,
  OPTION_PROGRESS,
  OPTION_LAYERS,
  OPTION_UNPACK,
  OPTION_DIGESTS,
  OPTION_NO_TRUNC,
  OPTION_FORMAT,
  OPTION_RAW,
  OPTION_FORCE,
  OPTION_INPUT,
  OPTION_NAME,
  OPTION_RENAME,
  OPTION_OUTPUT,
  OPTION_UNCOMPRESSED,
  OPTION_TMPDIR,
  OPTION_CHANGE,
  OPTION_MESSAGE,
  OPTION_FULL,
  OPTION_REPAIR,
  OPTION_USERNAME,
  OPTION_PASSWORD,
  OPTION_PASSWORD_STDIN,
  OPTION_VERBOSE,
  OPTION_PLAIN_HTTP,
  OPTION_INSECURE_TLS,
  OPTION_CA,
  OPTION_CERT,
  OPTION_KEY,
  OPTION_CERTS_DIR,
  OPTION_MIRROR,
  OPTION_CONFIG,
  OPTION_AUTH_FILE,
  OPTION_PROXY,
  OPTION_RETRIES,
  OPTION_TIMEOUT,
  OPTION_UID_MAP,
  OPTION_GID_MAP,
  OPTION_STRICT_XATTRS,
  OPTION_OWNER_POLICY,
  OPTION_DEVICE_POLICY,
  OPTION_XATTR_POLICY,
  OPTION_FLUSH,
  OPTION_DRY_RUN,
  OPTION_CHUNK_SIZE,
  OPTION_MOUNT_FROM,
  OPTION_KEEP_GOING,
  OPTION_LOST_INSTANCES,
  OPTION_TAGS,
  OPTION_REPLACE,
  OPTION_ENTRY,
  OPTION_JSON,
  OPTION_REMOTE,
  OPTION_NEED,
  OPTION_POLICY,
  OPTION_VERIFY_KEY,
  OPTION_ANY_IDENTITY,
  OPTION_TYPE,
  OPTION_LOCAL,
  OPTION_FETCH,
  OPTION_ARTIFACT_TYPE,
  OPTION_MEDIA_TYPE,
  OPTION_ANNOTATION,
  OPTION_READ_ONLY,
  OPTION_ROOTFS,
  OPTION_NOSUID,
  OPTION_NODEV,
  OPTION_NOEXEC,
  OPTION_WAY,
  OPTION_FUSE_PROGRAM,
  OPTION_LAZY,
  OPTION_ROOTLESS,
  OPTION_TERMINAL,
  OPTION_USER,
  OPTION_ENV,
  OPTION_WORKDIR,
  OPTION_ENTRYPOINT,
  OPTION_HOSTNAME,
  OPTION_NETWORK,
  OPTION_RM,
  OPTION_FROM,
  OPTION_TAG,
  OPTION_ADD_TAR,
  OPTION_ADD_DIR,
  OPTION_AS_IS,
  OPTION_ROOT_OWNED,
  OPTION_SQUASH,
  OPTION_SQUASH_FROM,
  OPTION_REBASE,
  OPTION_ONTO,
  OPTION_COMPRESSION,
  OPTION_LEVEL,
  OPTION_TIMESTAMP,
  OPTION_CMD,
  OPTION_LABEL,
  OPTION_PORT,
  OPTION_VOLUME,
  OPTION_STOP_SIGNAL,
  OPTION_CREATED,
  OPTION_AUTHOR,
  OPTION_COMMENT,
  OPTION_HISTORY
};

/* Rows of tables that say the same for every command that has them, and the end of a table. */
#define ROW_PLATFORM                                                                                                   \
  {                                                                                                                    \
    OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]",                                                               \
        "which image of a multi-platform one (default: this machine's)"                                                \
  }
#define ROW_QUIET                                                                                                      \
  { OPTION_QUIET, 'q', "quiet", NULL, "show no progress" }
#define ROW_PROGRESS                                                                                                   \
  {                                                                                                                    \
    OPTION_PROGRESS, 0, "progress", "auto|tty|plain|json",                                                             \
        "bars, lines, or JSON lines on standard error\n"                                                               \
        "(default: bars on a terminal, else lines)"                                                                    \
  }
#define ROW_FORMAT(help)                                                                                               \
  { OPTION_FORMAT, 0, "format", "table|json", help }
#define ROW_IMAGE_FORMAT(help)                                                                                         \
  { OPTION_FORMAT, 0, "format", "oci|docker", help }
#define ROW_ARCHIVE_FORMAT(help)                                                                                       \
  { OPTION_FORMAT, 0, "format", "docker-archive|oci-archive|oci-dir", help }
#define ROW_COMPRESSION(help)                                                                                          \
  { OPTION_COMPRESSION, 0, "compression", "gzip|fast|zstd|none", help }
#define ROW_LEVEL                                                                                                      \
  { OPTION_LEVEL, 0, "level", "N", "of the compression" }
#define ROW_TIMESTAMP                                                                                                  \
  {                                                                                                                    \
    OPTION_TIMESTAMP, 0, "timestamp", "SECONDS",                                                                       \
        "no file and no date is later (default: $SOURCE_DATE_EPOCH;\n"                                                 \
        "without it files keep their times and the image is created now)"                                              \
  }
#define ROW_VERBOSE                                                                                                    \
  { OPTION_VERBOSE, 'v', "verbose", NULL, "list every entry that was made otherwise than the image says" }
#define ROW_END                                                                                                        \
  { 0, 0, NULL, NULL, NULL }

typedef struct arguments {
  struct given {
    int id;
    const char *value;
  } * options; /* in the order given */
  size_t option_count;
  const char **words; /* what is not an option */
  size_t count;
  size_t option_words; /* after so many words everything is a word; 0: options may stand anywhere */
} arguments;

/** Room for argc arguments. false: out of memory. */
bool arguments_begin(arguments *a, int argc);
void arguments_free(arguments *a);
/**
 * Reads argv[from..argc). groups ends with NULL. stop_at_word: end at the first word that is not an option.
 * Returns where it stopped, or -1 after saying on standard error what is wrong.
 */
int arguments_read(arguments *a, const char *who, const option_group *const *groups, int argc, char **argv, int from,
                   bool stop_at_word);

bool option_given(const arguments *a, int id);
/** The value given last, or NULL. */
const char *option_value(const arguments *a, int id);
/** How often the option was given. */
size_t option_count(const arguments *a, int id);
/** The name of an option, as its table has it. */
const char *option_name(const option_group *const *groups, int id);

/** Prints the options of groups for --help. */
void options_help(const option_group *const *groups, FILE *file);

#endif
