/* table.h - rows of text under headings, aligned. Cells are copied and made safe to print. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct table {
  size_t columns;
  char **cells; /* row after row */
  size_t count;
  size_t room;
  bool failed; /* out of memory: table_print says so */
} table;

/** Begins a table; headings are the cells of the first row. */
void table_begin(table *t, size_t columns, const char *const *headings);
/** Adds the next cell, left to right, row after row. */
void table_cell(table *t, const char *text);
/** Frees what was added. */
void table_free(table *t);
/** Prints to file and frees. false: out of memory. */
bool table_print(table *t, FILE *file);

#endif
