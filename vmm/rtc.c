/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of a PC (MC146818): it tells the host's time, in UTC, and does nothing else. */
#include "vmm/internal.h"
#include <time.h>

#define REG_A	    0x0au
#define REG_B	    0x0bu
#define REG_D	    0x0du
#define REG_CENTURY 0x32u

#define A_RATE	0x26u /* the oscillator runs; never "update in progress" */
#define B_24H	0x02u /* and BCD */
#define D_VALID 0x80u

static uint8_t bcd(int value)
{
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

uint8_t vp_rtc_read(unsigned int reg, time_t now)
{
	struct tm t;

	gmtime_r(&now, &t);
	switch (reg) {
	case 0x00:
		return bcd(t.tm_sec % 60);
	case 0x02:
		return bcd(t.tm_min);
	case 0x04:
		return bcd(t.tm_hour);
	case 0x06:
		return bcd(t.tm_wday + 1);
	case 0x07:
		return bcd(t.tm_mday);
	case 0x08:
		return bcd(t.tm_mon + 1);
	case 0x09:
		return bcd(t.tm_year % 100);
	case REG_CENTURY:
		return bcd((t.tm_year + 1900) / 100);
	case REG_A:
		return A_RATE;
	case REG_B:
		return B_24H;
	case REG_D:
		return D_VALID;
	default:
		return 0;
	}
}
