/*
 * bars.c - the live view: one line per layer, redrawn in place.
 *
 * The lines are the last ones on the screen. To redraw, the cursor goes up over what was drawn and every line is
 * written anew. When there are more layers than lines, a window is shown: layers at work first.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "progress.h"
#include "units.h"

enum { WIDEST_BAR = 50, NARROWEST_BAR = 8, DEFAULT_COLUMNS = 80, DEFAULT_LINES = 24 };

static struct winsize screen_size(void) {
  struct winsize size = {0};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    size.ws_col = DEFAULT_COLUMNS;
  if (size.ws_row == 0)
    size.ws_row = DEFAULT_LINES;
  return size;
}

static void write_screen(progress *p) {
  if (!p->screen.failed)
    fwrite(text_get(&p->screen), 1, p->screen.size, stderr);
  fflush(stderr);
  text_clear(&p->screen);
}

static void go_up(progress *p) {
  if (p->drawn_lines)
    text_addf(&p->screen, "\r\033[%zuA", p->drawn_lines);
  p->drawn_lines = 0;
}

void bars_erase(progress *p) {
  if (p->drawn_lines == 0)
    return;
  go_up(p);
  text_add(&p->screen, "\033[J");
  write_screen(p);
}

/* --- one line ------------------------------------------------------------------------------------------------------
 */

static void add_bar(text *t, uint64_t done, uint64_t total, size_t width) {
  size_t filled = total ? (size_t)((double)done / (double)total * (double)width) : 0;
  filled = filled > width ? width : filled;
  text_add(t, "[");
  for (size_t i = 0; i < width; i++)
    text_add(t, i < filled ? "=" : i == filled ? ">" : " ");
  text_add(t, "]  ");
}

/* "Downloading [====>    ]  3.1MB/3.6MB" in the room that is left. */
static void add_work(text *t, const char *verb, const row *r, size_t columns) {
  text numbers = {0};
  text_addf(&numbers, "%s/%s", units_size(r->done).text, units_size(r->total).text);
  text_addf(t, "%s ", verb);
  size_t taken = t->size + numbers.size + strlen("[]  ");
  size_t width = columns > taken ? columns - taken : 0;
  if (width >= NARROWEST_BAR)
    add_bar(t, r->done, r->total, width < WIDEST_BAR ? width : WIDEST_BAR);
  text_add(t, text_get(&numbers));
  text_free(&numbers);
}

static void add_state(text *t, const progress *p, const row *r, size_t columns) {
  int64_t wait = (r->retry_at - progress_clock() + 999) / 1000;
  switch (r->state) {
  case ROW_DOWNLOADING:
    add_work(t, p->words.fetching, r, columns);
    break;
  case ROW_EXTRACTING:
    add_work(t, "Extracting", r, columns);
    break;
  case ROW_RETRYING:
    text_addf(t, "Retrying in %lld s", (long long)(wait > 0 ? wait : 0));
    break;
  default:
    text_add_safe(t, progress_state(p, r) ? progress_state(p, r) : "Waiting");
    break;
  }
}

static bool is_finished(const row *r) {
  return r->state == ROW_COMPLETE || r->state == ROW_EXISTS || r->state == ROW_MOUNTED;
}

static void add_line(progress *p, const row *r, size_t columns) {
  text line = {0};
  text_addf(&line, "%s: ", units_short_id(r->digest).text);
  add_state(&line, p, r, columns);
  text_ellipsis(&line, columns);
  bool green = is_finished(r) && cli_has_colour();
  text_addf(&p->screen, "%s%s%s\033[K\n", green ? "\033[32m" : "", text_get(&line), green ? "\033[0m" : "");
  p->drawn_lines++;
  text_free(&line);
}

/* --- the window ----------------------------------------------------------------------------------------------------
 */

static bool is_at_work(const row *r) {
  return r->state == ROW_DOWNLOADING || r->state == ROW_EXTRACTING || r->state == ROW_RETRYING;
}

/* The layers at work, then those that come next, then the finished ones, as many as lines allow. */
static void draw_window(progress *p, size_t lines, size_t columns) {
  size_t finished = 0, left = lines - 1;
  for (size_t i = 0; i < p->count; i++)
    finished += is_finished(&p->rows[i]);
  for (int turn = 0; turn < 3; turn++)
    for (size_t i = 0; i < p->count && left; i++) {
      const row *r = &p->rows[i];
      if ((is_at_work(r) ? 0 : is_finished(r) ? 2 : 1) != turn)
        continue;
      add_line(p, r, columns);
      left--;
    }
  text_addf(&p->screen, "%zu of %zu layers complete\033[K\n", finished, p->count);
  p->drawn_lines++;
}

void bars_draw(progress *p, bool last) {
  if (!p->count && !p->flushing && !p->drawn_lines)
    return;
  struct winsize size = screen_size();
  /* The last column stays free: some terminals wrap there. The last line holds the cursor. */
  size_t columns = size.ws_col > 1 ? size.ws_col - 1u : 1, lines = size.ws_row > 3 ? size.ws_row - 1u : 2;
  lines -= p->flushing && lines > 2;
  go_up(p);
  if (last || p->count <= lines) {
    for (size_t i = 0; i < p->count; i++)
      add_line(p, &p->rows[i], columns);
  } else {
    draw_window(p, lines, columns);
  }
  if (p->flushing) {
    text_add(&p->screen, "Flushing to disk\033[K\n");
    p->drawn_lines++;
  }
  text_add(&p->screen, "\033[J");
  write_screen(p);
  if (last)
    p->drawn_lines = 0;
  p->changed = false;
  p->drawn_at = progress_clock();
}
