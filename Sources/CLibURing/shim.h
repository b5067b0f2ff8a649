#pragma once
/* Before liburing.h: that one defines _XOPEN_SOURCE, under which glibc's headers give fd_set other members than in
   Swift's Glibc module, and the two modules then contradict each other. <features.h> decides once, so it goes first. */
#include <features.h>
#include <liburing.h>
