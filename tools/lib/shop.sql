-- SPDX-License-Identifier: Apache-2.0
--
-- A shop with customers, e-mail addresses, phones, orders: some 400 MB of rows
-- that compress about as well as real ones.  The same every time.
CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4;
USE shop;

CREATE TABLE customer (
	id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	first_name VARCHAR(40) NOT NULL,
	last_name VARCHAR(40) NOT NULL,
	street VARCHAR(80) NOT NULL,
	postcode CHAR(5) NOT NULL,
	city VARCHAR(40) NOT NULL,
	born DATE NOT NULL,
	created DATETIME NOT NULL,
	KEY name (last_name, first_name)
) ENGINE=InnoDB;
CREATE TABLE customer_email (
	customer_id INT UNSIGNED NOT NULL,
	email VARCHAR(120) NOT NULL,
	verified TINYINT NOT NULL,
	PRIMARY KEY (customer_id),
	UNIQUE KEY email (email)
) ENGINE=InnoDB;
CREATE TABLE customer_phone (
	customer_id INT UNSIGNED NOT NULL,
	kind ENUM('home', 'mobile', 'work') NOT NULL,
	phone VARCHAR(30) NOT NULL,
	PRIMARY KEY (customer_id, kind),
	KEY phone (phone)
) ENGINE=InnoDB;
CREATE TABLE product (
	id INT UNSIGNED NOT NULL PRIMARY KEY,
	name VARCHAR(80) NOT NULL,
	price DECIMAL(8, 2) NOT NULL,
	description TEXT NOT NULL
) ENGINE=InnoDB;
CREATE TABLE orders (
	id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	customer_id INT UNSIGNED NOT NULL,
	state ENUM('open', 'paid', 'sent', 'returned') NOT NULL,
	placed DATETIME NOT NULL,
	note VARCHAR(200) NOT NULL,
	KEY customer (customer_id),
	KEY placed (placed)
) ENGINE=InnoDB;
CREATE TABLE order_item (
	order_id INT UNSIGNED NOT NULL,
	nr SMALLINT UNSIGNED NOT NULL,
	product_id INT UNSIGNED NOT NULL,
	amount SMALLINT UNSIGNED NOT NULL,
	price DECIMAL(8, 2) NOT NULL,
	PRIMARY KEY (order_id, nr),
	KEY product (product_id)
) ENGINE=InnoDB;

INSERT INTO customer
	SELECT seq,
		ELT(1 + CRC32(seq) % 12, 'Anna', 'Ben', 'Clara', 'David', 'Emma',
			'Felix', 'Greta', 'Hugo', 'Ida', 'Jonas', 'Klara', 'Leo'),
		CONCAT(ELT(1 + CRC32(seq * 7) % 8, 'Acker', 'Berg', 'Dorn',
			'Eich', 'Feld', 'Grün', 'Holz', 'Kirch'),
			ELT(1 + CRC32(seq * 11) % 8, 'mann', 'hoff', 'bach',
			'stein', 'meier', 'ner', 'wald', 'hauser')),
		CONCAT(ELT(1 + CRC32(seq * 13) % 6, 'Haupt', 'Garten', 'Bahnhof',
			'Linden', 'Ring', 'Schul'), 'straße ', 1 + seq % 187),
		LPAD(CRC32(seq * 17) % 100000, 5, '0'),
		ELT(1 + CRC32(seq * 19) % 7, 'Berlin', 'Hamburg', 'Köln', 'Wien',
			'Zürich', 'Leipzig', 'Bremen'),
		'1940-01-01' + INTERVAL CRC32(seq * 23) % 23000 DAY,
		'2015-01-01' + INTERVAL seq * 1700 SECOND
	FROM seq_1_to_200000;
INSERT INTO customer_email
	SELECT id, CONCAT(LOWER(first_name), '.', LOWER(MD5(last_name)), id,
		ELT(1 + id % 4, '@example.com', '@example.org', '@example.net',
			'@mail.example')), id % 10 <> 0
	FROM customer;
INSERT INTO customer_phone
	SELECT id, ELT(1 + id % 2, 'home', 'mobile'),
		CONCAT('+49 ', 150 + id % 30, ' ', LPAD(CRC32(id), 10, '0'))
	FROM customer;
INSERT INTO product
	SELECT seq, CONCAT('Article ', MD5(seq)), 1 + CRC32(seq) % 50000 / 100,
		REPEAT(CONCAT('Made of ', MD5(seq * 3), '. '), 1 + seq % 20)
	FROM seq_1_to_5000;
INSERT INTO orders
	SELECT seq, 1 + CRC32(seq) % 200000, 1 + seq % 4,
		'2018-01-01' + INTERVAL seq * 300 SECOND,
		CONCAT('to be left at door ', CRC32(seq * 3), IF(seq % 5, '',
			CONCAT(', voucher ', MD5(seq))))
	FROM seq_1_to_800000;
INSERT INTO order_item
	SELECT o.id, n.seq, 1 + CRC32(o.id * 5 + n.seq) % 5000,
		1 + (o.id + n.seq) % 4, 1 + CRC32(o.id + n.seq) % 50000 / 100
	FROM orders o JOIN seq_1_to_3 n ON n.seq <= 1 + o.id % 3;

CREATE VIEW turnover AS
	SELECT YEAR(o.placed) AS year, SUM(i.amount * i.price) AS turnover
	FROM orders o JOIN order_item i ON i.order_id = o.id
	GROUP BY YEAR(o.placed);
CREATE TRIGGER order_placed BEFORE INSERT ON orders FOR EACH ROW
	SET NEW.placed = IFNULL(NEW.placed, NOW());
DELIMITER ;;
CREATE PROCEDURE orders_of(IN customer INT UNSIGNED)
	SELECT * FROM orders WHERE customer_id = customer;;
DELIMITER ;
