/*
 * text.h - growing text, and the one place where foreign text is made safe to print.
 *
 * Names, labels, commands, warnings and paths come from images, registries and disks: they may hold escape sequences,
 * line breaks or characters that reorder a line. Whatever prints them passes them through here first: lines with
 * put_line, tables with table.h, JSON with json_out.h.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** Zero-initialised is empty. After a failed allocation failed is set and additions do nothing. */
typedef struct text {
  char *data;
  size_t size;
  size_t room;
  bool failed;
} text;

void text_free(text *t);
void text_clear(text *t);
/** The characters, NUL-terminated. Never NULL. */
const char *text_get(const text *t);
void text_add_bytes(text *t, const void *bytes, size_t size);
void text_add(text *t, const char *s);
void text_addf(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_addv(text *t, const char *format, va_list list) __attribute__((format(printf, 2, 0)));
/** Clears key and adds what is before the first end of given, or all of it. Returns what is behind it, or NULL. */
const char *text_split(text *key, const char *given, char end);
/** Adds s with control, bidirectional and invisible characters and damaged UTF-8 written as \n, \x1b, \u202e. */
void text_add_safe(text *t, const char *s);
/** Adds s as a JSON string with its quotes; what is unsafe to print is written as \uXXXX. */
void text_add_json(text *t, const char *s);
/** Adds size bytes of JSON text as it is, but for characters unsafe to print: those become \uXXXX. */
void text_add_json_source(text *t, const char *source, size_t size);
/** Shortens t to at most columns terminal columns, the last one an ellipsis when something was cut off. */
void text_ellipsis(text *t, size_t columns);

/** How many terminal columns safe text takes. */
size_t text_width(const char *s);
/** Writes a line to file, safe to print, with its line break. */
void put_line(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Writes a document to standard output: byte for byte, but to a terminal with \u escapes for what is unsafe to print.
 * false: out of memory. */
bool put_document(const void *bytes, size_t size);

#endif
