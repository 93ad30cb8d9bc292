/*
 * oci/time.c (L1) - RFC 3339 times, in the proleptic Gregorian calendar; no clock and no time zone of the machine.
 */
#include "oci/time.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { DAY = 86400, DAYS_OF_400_YEARS = 146097, DAYS_TO_1970 = 719468 }; /* the last from 0000-03-01 on */

/* Years begin in March, so that the leap day is their last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  unsigned of_era = (unsigned)(year - era * 400);
  unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * DAYS_OF_400_YEARS + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - DAYS_TO_1970;
}

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day) {
  days += DAYS_TO_1970;
  int64_t era = (days >= 0 ? days : days - DAYS_OF_400_YEARS + 1) / DAYS_OF_400_YEARS;
  unsigned of_era = (unsigned)(days - era * DAYS_OF_400_YEARS);
  unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
  unsigned shifted = (5 * of_year + 2) / 153;
  *day = of_year - (153 * shifted + 2) / 5 + 1;
  *month = shifted < 10 ? shifted + 3 : shifted - 9;
  *year = (int64_t)years + era * 400 + (*month <= 2);
}

static void put_fraction(uint32_t nanoseconds, char *out, size_t capacity) {
  out[0] = '\0';
  if (!nanoseconds)
    return;
  size_t size = (size_t)snprintf(out, capacity, ".%09u", (unsigned)nanoseconds);
  while (out[size - 1] == '0')
    out[--size] = '\0';
}

bool ims_time_text(int64_t seconds, uint32_t nanoseconds, char out[IMS_TIME_TEXT]) {
  int64_t year;
  unsigned month, day;
  char fraction[16];
  out[0] = '\0';
  if (seconds < INT64_C(-62167219200) || seconds > INT64_C(253402300799) || nanoseconds > 999999999)
    return false;
  const int64_t days = seconds / DAY - (seconds % DAY < 0);
  const unsigned rest = (unsigned)(seconds - days * DAY);
  date_of(days, &year, &month, &day);
  put_fraction(nanoseconds, fraction, sizeof fraction);
  snprintf(out, IMS_TIME_TEXT, "%04d-%02u-%02uT%02u:%02u:%02u%sZ", (int)year, month, day, rest / 3600, rest / 60 % 60,
           rest % 60, fraction);
  return true;
}

/* Takes count digits and the character after them ('\0': none). */
static bool take(const char **s, unsigned count, char after, unsigned *value) {
  *value = 0;
  for (unsigned i = 0; i < count; i++, (*s)++) {
    if (!ims_is_digit(**s))
      return false;
    *value = *value * 10 + (unsigned)(**s - '0');
  }
  return !after || *(*s)++ == after;
}

static bool take_fraction(const char **s, uint32_t *nanoseconds) {
  uint32_t scale = 100000000;
  if (**s != '.')
    return true;
  if (!ims_is_digit(*++*s))
    return false;
  for (; ims_is_digit(**s); (*s)++, scale /= 10)
    *nanoseconds += scale * (uint32_t)(**s - '0');
  return true;
}

static bool take_zone(const char **s, int64_t *offset) {
  unsigned hours, minutes;
  char sign = *(*s)++;
  *offset = 0;
  if (sign == 'Z' || sign == 'z')
    return true;
  if ((sign != '+' && sign != '-') || !take(s, 2, ':', &hours) || !take(s, 2, '\0', &minutes) || hours > 23 ||
      minutes > 59)
    return false;
  *offset = (int64_t)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
  return true;
}

static unsigned days_in_month(unsigned year, unsigned month) {
  static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (leap && month == 2 ? 1u : 0u);
}

bool ims_time_parse(const char *text, int64_t *seconds, uint32_t *nanoseconds) {
  unsigned year, month, day, hour, minute, second;
  uint32_t fraction = 0;
  int64_t offset;
  const char *s = text;
  if (!take(&s, 4, '-', &year) || !take(&s, 2, '-', &month) || !take(&s, 2, '\0', &day))
    return false;
  if (*s != 'T' && *s != 't')
    return false;
  s++;
  if (!take(&s, 2, ':', &hour) || !take(&s, 2, ':', &minute) || !take(&s, 2, '\0', &second))
    return false;
  if (!take_fraction(&s, &fraction) || !*s || !take_zone(&s, &offset) || *s)
    return false;
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60)
    return false;
  *seconds = days_of(year, month, day) * DAY + (int64_t)(hour * 3600 + minute * 60 + second) - offset;
  if (nanoseconds)
    *nanoseconds = fraction;
  return true;
}
