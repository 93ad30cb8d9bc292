/*
 * tests/fuzz/replay.c - runs a fuzz target over files: every file of the folders and files given, then over every
 * prefix of each and a few thousand deterministic mutations, so that an ordinary build exercises the target too.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILE = 1 << 20, MUTATIONS = 500, MAX_PREFIXES = 600 };

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/* A copy of the exact size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *exact = malloc(size ? size : 1);
  if (!exact)
    exit(1);
  memcpy(exact, data, size);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
}

static void mutate_and_run(uint8_t *data, size_t size) {
  size_t step = size / MAX_PREFIXES + 1;
  for (size_t n = 0; n < size; n += step)
    run(data, n);
  for (int i = 0; size && i < MUTATIONS; i++) {
    size_t at = next_random() % size;
    uint8_t old = data[at];
    data[at] = (uint8_t)next_random();
    run(data, size);
    if (i % 4)
      data[at] = old;
  }
}

static int replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    return 1;
  }
  uint8_t *data = malloc(MAX_FILE);
  size_t size = data ? fread(data, 1, MAX_FILE, file) : 0;
  fclose(file);
  if (data) {
    run(data, size);
    mutate_and_run(data, size);
  }
  free(data);
  return data ? 0 : 1;
}

static int replay(const char *path) {
  struct stat st;
  if (stat(path, &st)) {
    perror(path);
    return 1;
  }
  if (!S_ISDIR(st.st_mode))
    return replay_file(path);
  DIR *dir = opendir(path);
  int failed = dir ? 0 : 1;
  for (struct dirent *e; dir && (e = readdir(dir));) {
    if (e->d_name[0] == '.')
      continue;
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", path, e->d_name);
    failed |= replay(name);
  }
  if (dir)
    closedir(dir);
  return failed;
}

int main(int argc, char **argv) {
  int failed = argc < 2;
  for (int i = 1; i < argc; i++)
    failed |= replay(argv[i]);
  return failed;
}
