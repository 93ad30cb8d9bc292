/* units.c - sizes, ages and dates in words. Knows nothing of images. */
#include "units.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

unit_text units_size(uint64_t bytes) {
  static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  unit_text out;
  double value = (double)bytes;
  size_t unit = 0;
  /* 999.5 would round to four digits: it is 1 of the next unit. */
  while (value >= 999.5 && unit + 1 < sizeof names / sizeof *names) {
    value /= 1000;
    unit++;
  }
  snprintf(out.text, sizeof out.text, "%.3g%s", value, names[unit]);
  return out;
}

static bool parse_zone(const char *zone, int64_t *seconds) {
  int hours = 0, minutes = 0, end = 0;
  if (strcmp(zone, "Z") == 0 || strcmp(zone, "z") == 0)
    return true;
  if ((zone[0] != '+' && zone[0] != '-') || sscanf(zone + 1, "%2d:%2d%n", &hours, &minutes, &end) != 2 ||
      zone[1 + end] != '\0')
    return false;
  int64_t offset = (int64_t)hours * 3600 + (int64_t)minutes * 60;
  *seconds += zone[0] == '+' ? -offset : offset;
  return true;
}

bool units_parse_time(const char *text, int64_t *seconds) {
  struct tm tm = {0};
  int end = 0;
  if (strlen(text) > 64 ||
      sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
             &tm.tm_sec, &end) != 6 ||
      end == 0)
    return false;
  if (tm.tm_year < 2)
    return false;
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  const char *zone = text + end;
  if (*zone == '.')
    zone += 1 + strspn(zone + 1, "0123456789");
  *seconds = (int64_t)timegm(&tm);
  return parse_zone(zone, seconds);
}

static unit_text ago(int64_t count, const char *unit) {
  unit_text out;
  snprintf(out.text, sizeof out.text, "%lld %s%s ago", (long long)count, unit, count == 1 ? "" : "s");
  return out;
}

unit_text units_age(const char *created, int64_t now) {
  int64_t then = 0;
  if (!units_parse_time(created, &then))
    return (unit_text){"N/A"};
  int64_t seconds = now - then, hours = (seconds + 1800) / 3600;
  if (seconds < 1)
    return (unit_text){"Less than a second ago"};
  if (seconds < 60)
    return ago(seconds, "second");
  if (seconds < 120)
    return (unit_text){"About a minute ago"};
  if (seconds < 3600)
    return ago(seconds / 60, "minute");
  if (hours <= 1)
    return (unit_text){"About an hour ago"};
  if (hours < 48)
    return ago(hours, "hour");
  if (hours < 24 * 14)
    return ago(hours / 24, "day");
  if (hours < 24 * 60)
    return ago(hours / (24 * 7), "week");
  if (hours < 24 * 365 * 2)
    return ago(hours / (24 * 30), "month");
  return ago(hours / (24 * 365), "year");
}

unit_text units_date(const char *created) {
  int64_t seconds = 0;
  struct tm tm;
  unit_text out = {"N/A"};
  if (!units_parse_time(created, &seconds))
    return out;
  time_t when = (time_t)seconds;
  if (gmtime_r(&when, &tm))
    strftime(out.text, sizeof out.text, "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
  return out;
}

unit_text units_short_id(const char *digest) {
  unit_text out;
  const char *colon = strchr(digest, ':');
  snprintf(out.text, sizeof out.text, "%.12s", colon ? colon + 1 : digest);
  return out;
}

bool units_number(const char *text, uint64_t max, uint64_t *number) {
  uint64_t n = 0;
  if (*text == '\0')
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9')
      return false;
    uint64_t digit = (uint64_t)(*text - '0');
    if (digit > max || n > (max - digit) / 10)
      return false;
    n = n * 10 + digit;
  }
  *number = n;
  return true;
}
