import { expect, it } from 'vitest';
import { Rate } from './rate';

it('says nothing before there is something to tell', () => {
  const rate = new Rate();
  expect(rate.speed(0)).toBe(0);
  rate.add(0, 0);
  expect(rate.speed(400)).toBe(0);
});

it('measures the last seconds, not the whole way', () => {
  const rate = new Rate(4000);
  for (let s = 0; s <= 10; s++) rate.add(s * 1000, s * 100);
  for (let s = 11; s <= 20; s++) rate.add(s * 1000, 1000 + (s - 10) * 5000);
  expect(rate.speed(20_000)).toBe(5000);
});

it('falls while nothing comes', () => {
  const rate = new Rate();
  rate.add(0, 0);
  rate.add(1000, 1000);
  expect(rate.speed(1000)).toBe(1000);
  expect(rate.speed(4000)).toBe(250);
});

it('begins again where a retry goes back', () => {
  const rate = new Rate();
  rate.add(0, 0);
  rate.add(1000, 8000);
  rate.add(2000, 1000);
  rate.add(3000, 3000);
  expect(rate.speed(3000)).toBe(2000);
});
