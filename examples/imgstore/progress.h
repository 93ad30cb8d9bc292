/*
 * progress.h - what a running job shows on standard error: live bars, plain lines, JSON lines or nothing.
 *
 * Events come from the library; rows are kept per layer in the order in which layers were first heard of.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli.h"

enum { PROGRESS_AUTO, PROGRESS_QUIET, PROGRESS_PLAIN, PROGRESS_TTY, PROGRESS_JSON };

enum {
  ROW_WAITING,
  ROW_DOWNLOADING,
  ROW_RETRYING,
  ROW_DOWNLOADED,
  ROW_EXTRACTING,
  ROW_EXISTS,
  ROW_COMPLETE,
  ROW_PREPARING,
  ROW_MOUNTED
};

typedef struct row {
  char *digest;
  int state;
  uint64_t done, total;
  int64_t retry_at; /* of ROW_RETRYING: milliseconds of the monotonic clock */
  char *mounted;    /* of ROW_MOUNTED: "Mounted from library/alpine" */
} row;

/** What a job calls its steps. */
typedef struct progress_words {
  const char *fetch;    /* a layer begins */
  const char *fetching; /* in front of a bar */
  const char *fetched;
  const char *complete;
} progress_words;

typedef struct progress {
  int32_t mode;
  progress_words words;
  row *rows;
  size_t count, room;
  bool pushing; /* the layers go to a registry */
  bool fetched; /* something of the image came over the network */
  bool flushing;
  bool changed; /* the bars on the screen are older than the rows */
  int64_t drawn_at;
  size_t drawn_lines;
  text screen; /* what is written to the terminal in one piece */
} progress;

/** --progress and --quiet: sets up *p; words may be NULL. false after a message: CLI_USAGE. */
bool progress_begin(progress *p, cli *c, const progress_words *words);
/** For imgstore_pull_options and the others; user_data: the progress. */
int32_t progress_event(void *user_data, const imgstore_event *event);
/** A line that stays, in the plain and tty modes. */
void progress_line(progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Milliseconds until progress_tick wants to be called, or -1. */
int progress_timeout(const progress *p);
void progress_tick(progress *p);
/** Draws the last state and leaves the cursor below it. */
void progress_end(progress *p);
/** What a row that is not at work says, or NULL. Not safe to print. */
const char *progress_state(const progress *p, const row *r);
void progress_free(progress *p);

/* --- bars.c: the tty mode --- */

/** Redraws the rows; last: all of them, one line each, to stay. */
void bars_draw(progress *p, bool last);
/** Takes the rows off the screen so that a line can be printed above them. */
void bars_erase(progress *p);

int64_t progress_clock(void);

#endif
