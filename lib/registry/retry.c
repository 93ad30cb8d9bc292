/*
 * registry/retry.c (L2) - back-off arithmetic and HTTP dates.
 */
#include "registry/retry.h"

#include <string.h>

#include "base/text.h"

bool ims_status_is_passing(int32_t status) {
  return status == 408 || status == 425 || status == 429 ||
         (status >= 500 && status < 600 && status != 501 && status != 505);
}

bool ims_status_holds_host(int32_t status) {
  return status == 429 || status == 503;
}

static uint64_t next_random(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool ims_backoff_next(ims_backoff *backoff, uint32_t *delay_ms) {
  *delay_ms = 0;
  if (backoff->failures >= backoff->allowed)
    return false;
  uint32_t shift = backoff->failures < 31 ? backoff->failures : 31;
  backoff->failures++;
  uint64_t delay = (uint64_t)backoff->first_ms << shift;
  if (delay > backoff->max_ms)
    delay = backoff->max_ms;
  delay = delay - delay / 4 + next_random(&backoff->seed) % (delay / 2 + 1);
  *delay_ms = (uint32_t)(delay < backoff->max_ms ? delay : backoff->max_ms);
  return true;
}

void ims_backoff_progress(ims_backoff *backoff) {
  backoff->failures = 0;
}

static bool take_number(const char **at, size_t least, size_t most, int64_t *value) {
  size_t size = 0;
  uint64_t number;
  while (size < most && ims_is_digit((*at)[size]))
    size++;
  if (size < least || !ims_parse_u64(*at, size, 9999, &number))
    return false;
  *value = (int64_t)number;
  *at += size;
  return true;
}

static bool take_char(const char **at, char c) {
  if (**at != c)
    return false;
  (*at)++;
  return true;
}

static bool take_month(const char **at, int64_t *month) {
  static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  for (int i = 0; i < 12; i++)
    if (strncmp(*at, names + 3 * i, 3) == 0) {
      *month = i + 1;
      *at += 3;
      return true;
    }
  return false;
}

typedef struct moment {
  int64_t year, month, day, hour, minute, second;
} moment;

static bool take_time(const char **at, moment *m) {
  return take_number(at, 2, 2, &m->hour) && take_char(at, ':') && take_number(at, 2, 2, &m->minute) &&
         take_char(at, ':') && take_number(at, 2, 2, &m->second);
}

/* "06 Nov 1994 08:49:37 GMT" and "06-Nov-94 08:49:37 GMT", after the day's name. */
static bool take_rfc(const char **at, moment *m) {
  if (!take_number(at, 2, 2, &m->day))
    return false;
  bool dashes = **at == '-';
  if (!take_char(at, dashes ? '-' : ' ') || !take_month(at, &m->month) || !take_char(at, dashes ? '-' : ' ') ||
      !take_number(at, dashes ? 2 : 4, dashes ? 2 : 4, &m->year))
    return false;
  if (dashes)
    m->year += m->year < 70 ? 2000 : 1900;
  return take_char(at, ' ') && take_time(at, m) && strcmp(*at, " GMT") == 0;
}

/* "Nov  6 08:49:37 1994", after the day's name. */
static bool take_asctime(const char **at, moment *m) {
  if (!take_month(at, &m->month) || !take_char(at, ' '))
    return false;
  take_char(at, ' ');
  return take_number(at, 1, 2, &m->day) && take_char(at, ' ') && take_time(at, m) && take_char(at, ' ') &&
         take_number(at, 4, 4, &m->year) && **at == '\0';
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March. */
static int64_t days_of(const moment *m) {
  int64_t year = m->month <= 2 ? m->year - 1 : m->year;
  int64_t month = (m->month + 9) % 12;
  return 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + m->day - 1 - 719468;
}

bool ims_http_date(const char *text, int64_t *seconds) {
  moment m;
  const char *at = text;
  while (ims_is_alnum(*at) && !ims_is_digit(*at))
    at++;
  if (at == text)
    return false;
  bool comma = take_char(&at, ',');
  if (!take_char(&at, ' ') || !(comma ? take_rfc(&at, &m) : take_asctime(&at, &m)))
    return false;
  if (m.day < 1 || m.day > 31 || m.hour > 23 || m.minute > 59 || m.second > 60)
    return false;
  *seconds = days_of(&m) * 86400 + m.hour * 3600 + m.minute * 60 + m.second;
  return true;
}

bool ims_retry_after(const char *value, int64_t wall_s, uint32_t max_ms, uint32_t *delay_ms) {
  uint64_t seconds;
  int64_t when;
  size_t size = strlen(value);
  if (size && strspn(value, "0123456789") == size) {
    if (!ims_parse_u64(value, size, UINT32_MAX, &seconds))
      seconds = UINT32_MAX; /* so many digits mean "much later" */
  } else if (ims_http_date(value, &when)) {
    seconds = when > wall_s ? (uint64_t)(when - wall_s) : 0;
  } else {
    return false;
  }
  *delay_ms = seconds > max_ms / 1000 ? max_ms : (uint32_t)seconds * 1000;
  return true;
}
