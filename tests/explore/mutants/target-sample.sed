# SPDX-License-Identifier: Apache-2.0
# break: sample
# what: the unpark count is sampled after the sink has decided
