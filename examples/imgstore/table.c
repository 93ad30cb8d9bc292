/* table.c - aligned columns. Knows nothing of what is in them. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { GAP = 3, NARROWEST = 10 };

void table_begin(table *t, size_t columns, const char *const *headings) {
  *t = (table){.columns = columns};
  for (size_t i = 0; i < columns; i++)
    table_cell(t, headings[i]);
}

static bool grow(table *t) {
  if (t->count < t->room)
    return true;
  size_t room = t->room ? t->room * 2 : 64;
  char **cells = reallocarray(t->cells, room, sizeof *cells);
  if (!cells)
    return false;
  t->cells = cells;
  t->room = room;
  return true;
}

void table_cell(table *t, const char *s) {
  text safe = {0};
  text_add_safe(&safe, s);
  if (t->failed || safe.failed || !grow(t)) {
    t->failed = true;
    text_free(&safe);
    return;
  }
  if (!safe.data)
    text_add(&safe, "");
  t->cells[t->count++] = safe.data;
  t->failed = safe.failed;
}

static size_t column_width(const table *t, size_t column) {
  size_t widest = NARROWEST - GAP;
  for (size_t i = column; i < t->count; i += t->columns) {
    size_t width = text_width(t->cells[i]);
    widest = width > widest ? width : widest;
  }
  return widest + GAP;
}

static void print_rows(const table *t, const size_t *widths, FILE *file) {
  for (size_t i = 0; i < t->count; i++) {
    size_t column = i % t->columns;
    fputs(t->cells[i], file);
    if (column + 1 == t->columns)
      fputc('\n', file);
    else
      fprintf(file, "%*s", (int)(widths[column] - text_width(t->cells[i])), "");
  }
}

void table_free(table *t) {
  for (size_t i = 0; i < t->count; i++)
    free(t->cells[i]);
  free(t->cells);
  *t = (table){0};
}

bool table_print(table *t, FILE *file) {
  size_t *widths = calloc(t->columns, sizeof *widths);
  bool ok = widths && !t->failed;
  if (ok) {
    for (size_t i = 0; i < t->columns; i++)
      widths[i] = column_width(t, i);
    print_rows(t, widths, file);
  }
  free(widths);
  table_free(t);
  return ok;
}
