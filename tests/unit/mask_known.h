/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
{MASK_EMAIL, "varchar(99)", "Anna@example.org", "b2s7fjruyqf3fbay@example.com"},
{MASK_PHONE, "varchar(30)", "+49 171 1234567", "+49 136 5993023"},
{MASK_NAME, "varchar(45)", "Anna Schmidt", "Nabazanazo Fahorezozoje"},
{MASK_ADDRESS, "varchar(50)", "47 MySakila Drive", "Sogomidami Zerifafoje 155"},
{MASK_TEXT, "text", "she wants her money back", "Nevabi pabepote gaparigi"},
{MASK_NUMBER, "int(11)", "1234567", "3924554"},
{MASK_NUMBER, "decimal(10,2)", "-12.50", "-79.89"},
{MASK_DATE, "date", "1980-05-17", "1980-06-04"},
{MASK_DATE, "datetime", "2026-11-22 02:10:00", "2027-02-14 01:37:27"},
{MASK_IBAN, "varchar(34)", "DE89370400440532013000", "DE36404646582979678620"},
{MASK_IBAN, "varchar(34)", "MT84MALT011000012345MTLCAST001S", "MT86UNGT716906176294CUNBQXW864A"},
{MASK_CARD, "varchar(19)", "4111 1111 1111 1111", "4111 3468 3460 9724"},
{MASK_IP, "varchar(45)", "192.168.0.1", "152.114.64.214"},
{MASK_IP, "varchar(45)", "2001:db8::1", "67ee:36cf:8878:7b39:712a:b5c2:5155:f4d9"},
{MASK_HASH, "varchar(64)", "secret", "6229809217fe7140ef0be5fbb6702f5f"},
	/* clang-format on */
