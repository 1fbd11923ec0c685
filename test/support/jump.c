/* Preloaded into a server, makes its wall clock differ by the seconds in the file $JUMP_FILE (one 8-byte number, read each time), so that a
   test can let it jump. Built and used by jumping-clock.ts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *jump;

static long long seconds(void) {
  if (!jump) {
    int file = open(getenv("JUMP_FILE"), O_RDONLY);
    void *mapped = mmap(0, sizeof(long long), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) abort();
    jump = mapped;
  }
  return *jump;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += seconds();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  now->tv_sec = t.tv_sec;
  now->tv_usec = t.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *where) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (where) *where = t.tv_sec;
  return t.tv_sec;
}

/* The kernel's clock does not jump, so what is waited for by the server's clock is translated. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!real) {
    /* On x86-64 there is an older one of the same name, which waits otherwise. */
    *(void **)&real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  }
  struct timespec translated = *until;
  translated.tv_sec -= seconds();
  return real(cond, mutex, &translated);
}
