/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of libraries that cppcheck must know to parse us; it does not read their headers. */
#define json_array_foreach(array, i, value) \
	for ((i) = 0; ((value) = json_array_get((array), (i))); (i)++)
#define json_object_foreach(object, key, value) \
	for ((key) = ""; ((value) = json_object_get((object), (key)));)
