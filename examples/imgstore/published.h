/* published.h - what push, copy and sync print in the end. */
#ifndef CLI_PUBLISHED_H
#define CLI_PUBLISHED_H

#include "cli.h"

typedef struct published_view {
  bool json;    /* one object per line */
  bool dry_run; /* nothing was sent */
  bool quiet;   /* names only */
} published_view;

/** Reads --format, --dry-run and --quiet. false after a message: CLI_USAGE. */
bool published_view_read(cli *c, published_view *view);
/** Prints the report of a finished job to standard output. Returns an exit status. */
int published_print(const cli *c, const imgstore_report *report, const published_view *view);

#endif
